"""The warehouse: fakesnow's server (Snowflake's wire protocol on DuckDB) with the specification's databases.

``python -m mcp_chaos.lab.warehouse PORT`` serves on loopback until it is ended.
"""

import sys

import uvicorn
from fakesnow.server import app, shared_fs

DATABASES = ("TEST_DB", "ANALYTICS_DB", "STAGING_DB")
SCHEMAS = ("PUBLIC", "STAGING", "REPORTING")


def furnish() -> None:
    """Make the databases and schemas of the specification, a table and a view in each."""
    cursor = shared_fs.connect(None, None).cursor()
    for database in DATABASES:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
        for schema in SCHEMAS:
            place = f"{database}.{schema}"
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {place}")
            cursor.execute(f"CREATE TABLE {place}.ORDERS (ID INT, CUSTOMER VARCHAR)")
            cursor.execute(f"CREATE VIEW {place}.{schema}_ORDERS AS SELECT * FROM {place}.ORDERS")  # noqa: S608


def main() -> None:
    """Furnish, then serve."""
    furnish()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_keep_alive=75)


if __name__ == "__main__":
    main()

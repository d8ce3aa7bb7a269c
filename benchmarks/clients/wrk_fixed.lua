-- wrk at its fastest: one request made beforehand, nothing checked but what wrk itself counts.

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"jsonrpc":"2.0","id":1,"method":"list_databases","params":{"_client_id":"client_1"}}'

-- Prints the line that the rig reads.
function done(summary)
  local failed = 0
  for _, count in pairs(summary.errors) do
    failed = failed + count
  end
  print(string.format('{"calls": %d, "errors": %d}', summary.requests, failed))
end

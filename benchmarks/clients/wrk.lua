-- wrk with a unique id in every request; each answer is matched as text: its id must be awaited, and have a result.

local last_id, awaited = 0, {}
errors = 0 -- global: read from outside by thread:get

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function request()
  last_id = last_id + 1
  awaited[last_id] = true
  return wrk.format(nil, nil, nil, '{"jsonrpc":"2.0","id":' .. last_id
    .. ',"method":"list_databases","params":{"_client_id":"client_1"}}')
end

function response(status, _, body)
  local id = tonumber(string.match(body, '"id":(%d+)'))
  if status ~= 200 or not id or not awaited[id] or not string.find(body, '"result":', 1, true) then
    errors = errors + 1
  else
    awaited[id] = nil
  end
end

-- Prints the line that the rig reads.
function done(summary)
  local failed = 0
  for _, count in pairs(summary.errors) do
    failed = failed + count
  end
  for _, thread in ipairs(threads) do
    failed = failed + thread:get("errors")
  end
  print(string.format('{"calls": %d, "errors": %d}', summary.requests, failed))
end

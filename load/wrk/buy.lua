-- Buys one unit for each user of a token file, then starts over (repeats are refused or
-- replayed). Closed loop: wrk waits for an answer before it sends the next request, so its
-- latencies leave out the time a request would have waited; `load run` does not.
--
--   seckill mint --users 100000 > tokens.jsonl
--   TOKENS=tokens.jsonl ITEM=<item id> wrk -t2 -c64 -d10s -s load/wrk/buy.lua http://127.0.0.1:8080

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(os.getenv("TOKENS") or "tokens.jsonl"), "TOKENS names no file")
  tokens = {}
  for line in file:lines() do
    tokens[#tokens + 1] = assert(line:match('"token"%s*:%s*"([^"]+)"'), "no token in: " .. line)
  end
  file:close()
  path = "/api/v1/items/" .. assert(os.getenv("ITEM"), "ITEM is not set") .. "/buy"
  run = string.format("%x", os.time())
  -- Each thread begins elsewhere in the file, so that they do not share users at first.
  at = math.floor(#tokens / 8) * number
  sent = 0
  granted, refused, other = 0, 0, 0
end

function request()
  at = at % #tokens + 1
  sent = sent + 1
  return wrk.format("POST", path, {
    ["Authorization"] = "Bearer " .. tokens[at],
    ["Content-Type"] = "application/json",
    ["Idempotency-Key"] = run .. "-" .. number .. "-" .. sent,
  }, '{"quantity":1}')
end

function response(status)
  if status == 201 or status == 200 then
    granted = granted + 1
  elseif status == 409 then
    refused = refused + 1
  else
    other = other + 1
  end
end

function done(summary, latency)
  local granted, refused, other = 0, 0, 0
  for _, thread in ipairs(threads) do
    granted = granted + thread:get("granted")
    refused = refused + thread:get("refused")
    other = other + thread:get("other")
  end
  io.write(string.format("granted %d, refused by rule %d, other %d, socket errors %d\n",
    granted, refused, other,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end

-- Hold, release and pace, for the relocation of an app.
--
-- What is decided about an app is a file in a folder on tmpfs, one line, replaced as a whole:
--
--   HOST                                   its requests go to the instance on HOST (-: nowhere)
--   HOST OWNER MILLISECONDS END refuse     they wait here, each for at most MILLISECONDS
--   HOST OWNER MILLISECONDS END release
--
-- It is read for each request. So every worker follows it: one that a reload has left behind, the
-- one that came with it, and one that came after a crash. END is when the hold as a whole is over,
-- in seconds of /proc/uptime, which runs alike for all of them. From then on requests are refused,
-- or go to HOST. Where there is no file, the map of locations says it, as it was at the start.
--
-- What has waited is let on through a window of a few requests, in its order: a backlog of 5, as
-- many servers have it, loses connections when all come at once.
--
-- Only a request with the variable txn.host may go on: one that has waited too long does not have
-- it, nor one for which HAProxy ended the wait because its client had gone.

local folder = os.getenv("MEC_DECISIONS")
local window = tonumber(os.getenv("MEC_WINDOW"))

-- A width of the window is tried for TRIED_MS and until each place has been used twice; or for
-- SILENT_MS, whatever comes.
local TRIED_MS = 250
local SILENT_MS = 500
-- A queue that is through in LONG_MS needs no more than a backlog of 5 surely takes.
local LONG_MS = 2000
-- Clients that were answered one right after the other ask again together. So the window stays until
-- nobody has waited for LINGER_MS.
local LINGER_MS = 1000
-- Meanwhile, what has not been answered for FRESH_MS gives its place to the next.
local FRESH_MS = 50
-- Whoever waits looks again within LOOK_MS. Who has not for GONE_MS has gone, with its client.
local LOOK_MS = 10
local GONE_MS = 50

local NOWHERE = { line = "-", host = "-" }
local at_start = {}
for line in io.lines(os.getenv("MEC_LOCATIONS")) do
  local app, host = line:match("^(%S+) (%S+)$")
  if app then
    at_start[app] = { line = host, host = host }
  end
end

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

local function uptime_ms()
  local file = io.open("/proc/uptime")
  local uptime_s = file:read("n")
  file:close()
  return uptime_s * 1000
end

-- By app: the last decision that was read from its file.
local decisions = {}

local function parse(line, at_ms)
  local host, owner, limit_ms, end_s, after =
    line:match("^(%S+) (%S+) (%d+) ([%d.]+) (%S+)$")
  if not host then
    return { line = line, host = line }
  end
  return {
    line = line,
    host = host,
    owner = owner,
    limit_ms = tonumber(limit_ms),
    end_ms = at_ms + tonumber(end_s) * 1000 - uptime_ms(),
    refuse = after == "refuse",
  }
end

-- Return what is decided about an app. HAProxy's clock stands still while it works off what came
-- at once, and whoever has decided asks only afterwards: one look at the file serves them all.
local function decided(app)
  local at_ms, last = now_ms(), decisions[app]
  if last and last.read_ms == at_ms then
    return last
  end
  local file, _, code = io.open(folder .. "/" .. app)
  if not file then
    -- What cannot be read may be a hold.
    return code == 2 and at_start[app] or NOWHERE
  end
  local line = file:read("l") or "-"
  file:close()
  if not last or last.line ~= line then
    last = parse(line, at_ms)
    decisions[app] = last
  end
  last.read_ms = at_ms
  return last
end

local function is_held(decision, at_ms)
  return decision.owner and at_ms < decision.end_ms
end

local function is_refused(decision, at_ms)
  if not decision.owner or at_ms < decision.end_ms then
    return decision.host == "-"
  end
  if not decision.told then
    decision.told = true
    core.log(
      core.warning,
      "The hold for " .. decision.owner .. " ended by itself; then: "
        .. (decision.refuse and "refuse" or "release")
    )
  end
  return decision.refuse or decision.host == "-"
end

-- By app: those who wait, as numbers in the order of their arrival.
local queues = {}

-- Pass over those who are no longer there, up to a number.
local function advance(queue, number, at_ms)
  while queue.first < number and (queue.look_ms[queue.first] or 0) + GONE_MS < at_ms do
    queue.look_ms[queue.first] = nil
    queue.first = queue.first + 1
  end
end

-- Try a window that is half as wide again, and keep it if more is answered than before. An instance
-- that answers one request after the other keeps the small one, and what is slow or stuck in it does
-- not block the others. An instance that has just begun answers more from moment to moment anyway: a
-- window that a backlog might not take is tried only where those who wait would wait for long.
local function try_width(pace, at_ms, waiting)
  local passed_ms = at_ms - pace.since_ms
  local is_tried = passed_ms >= TRIED_MS and pace.answered >= 2 * pace.width
  if not is_tried and passed_ms < SILENT_MS then
    return
  end
  local rate = pace.answered / passed_ms
  if rate == 0 or rate > 1.2 * pace.rate or pace.width == pace.proven then
    pace.proven, pace.rate = pace.width, rate
    local wider = math.ceil(1.5 * pace.width)
    if wider <= math.ceil(1.5 * window) or pace.is_through or waiting > rate * LONG_MS then
      pace.width = wider
    end
  else
    pace.width = pace.proven
  end
  pace.answered, pace.since_ms = 0, at_ms
end

local function may_pass(queue, number, at_ms)
  local pace = queue.pace
  if not pace then
    pace = { width = window, proven = window, inside = 0, answered = 0, rate = 0, since_ms = at_ms }
    queue.pace = pace
  end
  try_width(pace, at_ms, queue.last - queue.first)
  local free = pace.width - pace.inside
  if pace.is_through and at_ms - pace.entered_ms > FRESH_MS then
    -- What is not answered by now was taken from the backlog, and takes its time.
    free = math.max(free, 1)
  end
  return free > 0 and number - queue.first < free
end

-- Wait until it is this request's turn; return the decision that lets it go on, or nil.
local function wait(txn, app, queue)
  local number = queue.last + 1
  queue.last = number
  local held_since_ms
  while true do
    local at_ms, decision = now_ms(), decided(app)
    advance(queue, number, at_ms)
    if is_held(decision, at_ms) then
      held_since_ms = held_since_ms or at_ms
      queue.pace = nil
      if at_ms - held_since_ms > decision.limit_ms then
        break
      end
    elseif is_refused(decision, at_ms) then
      break
    else
      held_since_ms = nil
      if may_pass(queue, number, at_ms) then
        queue.pace.inside = queue.pace.inside + 1
        queue.pace.entered_ms = at_ms
        txn:set_priv(queue.pace)
        txn:set_var("txn.paced", true)
        queue.look_ms[number] = nil
        return decision
      end
    end
    -- Who is far from its turn looks less often.
    local pause_ms = math.min(LOOK_MS, 1 + math.max(0, number - queue.first) // (2 * window))
    queue.look_ms[number] = at_ms + pause_ms
    core.msleep(pause_ms)
  end
  queue.look_ms[number] = nil
end

core.register_action("hold", { "http-req" }, function(txn)
  local app = txn:get_var("txn.app")
  if not app or not app:match("^[a-z0-9-]+$") then
    return
  end
  local at_ms, decision, queue = now_ms(), decided(app), queues[app]
  if queue then
    advance(queue, queue.last + 1, at_ms)
    if queue.first <= queue.last then
      queue.waited_ms = at_ms
    elseif at_ms - queue.waited_ms > LINGER_MS then
      queues[app], queue = nil, nil
    elseif queue.pace then
      queue.pace.is_through = true
    end
  end
  if queue or is_held(decision, at_ms) then
    queue = queue or { first = 1, last = 0, look_ms = {}, waited_ms = at_ms }
    queues[app] = queue
    decision = wait(txn, app, queue)
  elseif is_refused(decision, at_ms) then
    return
  end
  if decision then
    txn:set_var("txn.host", decision.host)
  end
end)

-- A request that was let on has its answer: the next one may go.
core.register_action("answered", { "http-res" }, function(txn)
  local pace = txn:get_priv()
  pace.inside = pace.inside - 1
  pace.answered = pace.answered + 1
  if not pace.is_heard then
    -- Until then the instance came up.
    pace.is_heard, pace.answered, pace.since_ms = true, 0, now_ms()
  end
end)

-- Set txn.path to the path as a server may understand it: decoded, without parameters, empty
-- segments and dots. The request itself stays as it is.
core.register_action("plain_path", { "http-req" }, function(txn)
  local path = txn.f:path():gsub("%%(%x%x)", function(code)
    return string.char(tonumber(code, 16))
  end)
  local kept = {}
  for segment in path:gmatch("[^/\\]+") do
    segment = segment:gsub(";.*", "")
    if segment == ".." then
      table.remove(kept)
    elseif segment ~= "" and segment ~= "." then
      table.insert(kept, segment)
    end
  end
  txn:set_var("txn.path", "/" .. table.concat(kept, "/"))
end)

-- mec show APP: the decision as this worker has it.
core.register_cli({ "mec", "show" }, "", function(applet, _mec, _show, app)
  if not app or not app:match("^[a-z0-9-]+$") then
    applet:send("usage: mec show APP\n")
    return
  end
  applet:send(decided(app).line .. "\n")
end)

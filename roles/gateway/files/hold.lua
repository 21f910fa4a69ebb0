-- Hold and release, for the relocation of an app.
--
-- While an app is held, its requests wait here, before the map of locations is read; released, they
-- go on to wherever the app is by then. Only a request with the variable txn.released may go on: one
-- that has waited for the time given with the hold does not have it, nor one for which HAProxy ended
-- the wait because its client had gone.

local held_ms = {}

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

core.register_action("hold", { "http-req" }, function(txn)
  local app = txn:get_var("txn.app")
  local arrived_ms = now_ms()
  while held_ms[app] do
    if now_ms() - arrived_ms > held_ms[app] then
      return
    end
    core.msleep(1)
  end
  txn:set_var("txn.released", true)
end)

-- mec hold APP MILLISECONDS
core.register_cli({ "mec", "hold" }, "", function(applet, _mec, _hold, app, limit_ms)
  if not app or not tonumber(limit_ms) then
    applet:send("usage: mec hold APP MILLISECONDS\n")
    return
  end
  held_ms[app] = tonumber(limit_ms)
  applet:send("held\n")
end)

-- mec release APP
core.register_cli({ "mec", "release" }, "", function(applet, _mec, _release, app)
  if not app then
    applet:send("usage: mec release APP\n")
    return
  end
  held_ms[app] = nil
  applet:send("released\n")
end)

-- check_server_process.lua: judges a server process by its record, and mends what is derived from the record.
--
-- KEYS[1] server process          hash
-- KEYS[2] idle ones at location   sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews       sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- KEYS[4] processes of its fleet  sorted set: server process ref -> registration in ms
-- ARGV[1] 1 to mend, 0 to report only
-- ARGV[2] server process ref
-- ARGV[3] location of the server process, as the caller knows it
-- ARGV[4] how long a server process may be silent, in ms
--
-- A finding is {kind, 1 if mended, what is wrong, key...}.
--
-- RETURNS OK {finding}...
-- RETURNS CHANGED
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mend = ARGV[1] == '1'
local reply = {'OK'}
local function report(kind, mendable, what, ...)
  reply[#reply + 1] = {kind, mend and mendable and 1 or 0, what, ...}
end

local p = redis.call('HMGET', KEYS[1], 'status', 'location', 'registered', 'healthy_at', 'terminate_at', 'ready', 'connection', 'unhealthy', 'game', 'life')
if redis.call('EXISTS', KEYS[1]) == 0 or (p[2] or '') ~= ARGV[3] then
  return {'CHANGED'}
end
local status, registered, healthy_at = p[1] or '', p[3] or '', p[4] or ''
if status ~= 'ACTIVE' and status ~= 'ENDED' or ARGV[3] == '' or not p[10] or not tonumber(registered) or not tonumber(healthy_at) then
  report('damaged-record', false, 'the server process lacks its location, life, registration, last healthy report or a status that there is', KEYS[1])
  return reply
end
local listed = redis.call('ZSCORE', KEYS[4], ARGV[2])
local misdated = not listed or tonumber(listed) ~= tonumber(registered)
if misdated then
  report('index', true, 'the server process registered at ' .. registered .. ', and the index says ' .. (listed or 'nothing'), KEYS[4], KEYS[1])
end
local idle = status == 'ACTIVE' and p[6] and p[7] and not (p[8] or p[9] or p[5])
local listed_idle = redis.call('ZSCORE', KEYS[2], ARGV[2])
local misjudged = not idle ~= not listed_idle
if misjudged then
  report('index', true, 'the server process is ' .. (idle and '' or 'not ') .. 'idle, and the idle ones have ' .. (listed_idle or 'nothing'), KEYS[2], KEYS[1])
end
local due = status == 'ENDED' and now or math.max(tonumber(p[5] or 0), now + ARGV[4])
local review = redis.call('ZSCORE', KEYS[3], ARGV[2])
local unseen = not review or tonumber(review) > math.max(now, due)
if unseen then
  report('deadline', true, 'the server process is to be reviewed by ' .. string.format('%.0f', due) .. ', and that is at ' .. (review or 'no time'), KEYS[3], KEYS[1])
end

if mend then
  if misdated then
    redis.call('ZADD', KEYS[4], registered, ARGV[2])
  end
  if misjudged and idle then
    redis.call('ZADD', KEYS[2], now, ARGV[2])
  elseif misjudged then
    redis.call('ZREM', KEYS[2], ARGV[2])
  end
  if unseen then
    redis.call('ZADD', KEYS[3], now, ARGV[2])
  end
end
return reply

-- check_game_session_placement.lua: judges a placement by its record, and mends what is derived from the record.
--
-- KEYS[1] placement                   hash
-- KEYS[2] partition pending           sorted set: placement ref -> when it is to be tried next, in ms
-- KEYS[3] partition ended placements  sorted set: placement ref -> end in ms
-- ARGV[1] 1 to mend, 0 to report only
-- ARGV[2] placement ref
--
-- A finding is {kind, 1 if mended, what is wrong, key...}.
--
-- RETURNS OK {finding}...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mend = ARGV[1] == '1'
local reply = {'OK'}
local function report(kind, mendable, what, ...)
  reply[#reply + 1] = {kind, mend and mendable and 1 or 0, what, ...}
end

if redis.call('EXISTS', KEYS[1]) == 0 then
  return reply
end
local record = redis.call('HMGET', KEYS[1], 'status', 'started', 'deadline', 'ended')
local status, ended = record[1] or '', record[4] or ''
local over = status == 'FULFILLED' or status == 'CANCELLED' or status == 'TIMED_OUT' or status == 'FAILED'
if not tonumber(record[2] or '') or not tonumber(record[3] or '') or not over and status ~= 'PENDING' then
  report('damaged-record', false, 'the placement lacks its start, deadline or a status that there is', KEYS[1])
  return reply
end
local undated = over and not tonumber(ended)
if undated then
  report('damaged-record', true, 'the placement is ' .. status .. ' and does not say since when', KEYS[1])
  ended = string.format('%.0f', now)
end

local pending = redis.call('ZSCORE', KEYS[2], ARGV[2])
local idle = not over and (not pending or pending == 'inf')
local needless = over and pending
if idle or needless then
  report('index', true, 'the placement is ' .. status .. ', and the pending ones have ' .. (pending or 'nothing'), KEYS[2], KEYS[1])
end
local listed_end = redis.call('ZSCORE', KEYS[3], ARGV[2])
local end_differs
if over then
  end_differs = not listed_end or listed_end ~= ended and tonumber(listed_end) ~= tonumber(ended)
else
  end_differs = listed_end
end
if end_differs and not undated then
  report('ended', true, 'the placement is ' .. status .. ' and should have ' .. (over and ended or 'nothing') .. ' among the ended, which have ' .. (listed_end or 'nothing'), KEYS[3], KEYS[1])
end

if mend then
  if undated then
    redis.call('HSET', KEYS[1], 'ended', ended)
  end
  if idle then
    redis.call('ZADD', KEYS[2], now, ARGV[2])
  elseif needless then
    redis.call('ZREM', KEYS[2], ARGV[2])
  end
  if end_differs and over then
    redis.call('ZADD', KEYS[3], ended, ARGV[2])
  elseif end_differs then
    redis.call('ZREM', KEYS[3], ARGV[2])
  end
end
return reply

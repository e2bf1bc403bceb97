-- try_game_session_placement.lua: notes where a PENDING placement is tried.
--
-- Each try has a number of its own, which names the game session that it creates. A try that is under way goes on, whoever
-- asks, until somebody has found it refused. A placement that is past its deadline becomes TIMED_OUT.
--
-- KEYS[1] placement                   hash
-- KEYS[2] partition pending           sorted set: placement ref -> when it is to be tried next, in ms
-- KEYS[3] partition ended placements  sorted set: placement ref -> end in ms
-- ARGV[1] placement ref
-- ARGV[2] the try that was refused last, 0 for none
-- ARGV[3] where it is to be tried next, empty when every place has refused it
--
-- RETURNS OK place try
-- RETURNS NOT_PENDING
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local placement = redis.call('HMGET', KEYS[1], 'status', 'deadline', 'place', 'try')
if placement[1] ~= 'PENDING' then
  return {'NOT_PENDING'}
end
local late = tonumber(placement[2]) <= now
local place, try = placement[3] or '', tonumber(placement[4] or 0)
local underway = place ~= '' and try ~= tonumber(ARGV[2])
if not underway then
  place = ARGV[3]
  if place ~= '' then
    try = try + 1
  end
end
local reply = {'OK', place, try}
if late then
  reply = {'NOT_PENDING'}
end

if late then
  redis.call('HSET', KEYS[1], 'status', 'TIMED_OUT', 'ended', placement[2])
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[3], placement[2], ARGV[1])
elseif not underway then
  redis.call('HSET', KEYS[1], 'place', place, 'try', string.format('%.0f', try))
end
return reply

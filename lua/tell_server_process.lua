-- tell_server_process.lua: notes what a server process is to be told: to end by some time, or that its game session has changed.
--
-- From then on it is reviewed until the instance that has its connection has told it.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews      sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] game session ref that it must have; none; empty for any or none
-- ARGV[4] how long it may take to end, in ms; empty to tell that its game session has changed
-- ARGV[5] the revision of its game session to tell of; empty to tell it to end
--
-- RETURNS OK instance
-- RETURNS NOT_FOUND
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.call('HMGET', KEYS[1], 'life', 'status', 'game', 'terminate_at', 'instance', 'update')
if known[1] ~= ARGV[2] or known[2] == 'ENDED' or ARGV[3] ~= '' and (known[3] or 'none') ~= ARGV[3] then
  return {'NOT_FOUND'}
end

if ARGV[4] == '' then
  redis.call('HSET', KEYS[1], 'update', math.max(tonumber(ARGV[5]), tonumber(known[6] or 0)))
elseif not known[4] then
  redis.call('HSET', KEYS[1], 'terminate_at', string.format('%.0f', now + ARGV[4]))
  redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('ZADD', KEYS[3], string.format('%.0f', now), ARGV[1])
return {'OK', known[5] or ''}

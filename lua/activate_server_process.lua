-- activate_server_process.lua: registers a server process: its life begins.
--
-- A second call over the connection that registered it changes its port alone. It is idle, and may be given a game session,
-- once it has reported to be healthy.
--
-- KEYS[1] server process           hash
-- KEYS[2] processes of its fleet   sorted set: server process ref -> registration in ms
-- KEYS[3] partition reviews        sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] connection
-- ARGV[4] since when that is, in ms
-- ARGV[5] when to review it first, in ms from now
-- ARGV[6] port
-- ARGV[7..] further fields of the record and their values, one after the other
--
-- RETURNS OK
-- RETURNS KNOWN life
-- RETURNS RUNNING life location
-- RETURNS NEWER
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local time_now = string.format('%.0f', now)

local known = redis.call('HMGET', KEYS[1], 'status', 'life', 'location', 'activated_on', 'activated_since')
local reply = {'OK'}
if known[1] == 'ACTIVE' and known[4] == ARGV[3] then
  reply = {'KNOWN', known[2]}
elseif known[1] and tonumber(known[5]) > tonumber(ARGV[4]) then
  return {'NEWER'} -- this is an earlier life, which comes too late
elseif known[1] then
  return {'RUNNING', known[2], known[3]}
end

if known[1] then
  redis.call('HSET', KEYS[1], 'port', ARGV[6])
else
  redis.call('HSET', KEYS[1], 'status', 'ACTIVE', 'life', ARGV[2], 'activated_on', ARGV[3], 'activated_since', ARGV[4], 'connection', ARGV[3],
    'connected_at', ARGV[4], 'port', ARGV[6], 'registered', time_now, 'healthy_at', time_now, unpack(ARGV, 7))
  redis.call('ZADD', KEYS[2], time_now, ARGV[1])
  redis.call('ZADD', KEYS[3], string.format('%.0f', now + ARGV[5]), ARGV[1])
end
return reply

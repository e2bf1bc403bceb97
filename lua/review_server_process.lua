-- review_server_process.lua: sees to a server process that is due.
--
-- One that has been silent for too long is lost: it is told to end, and the caller ends its game session as INTERRUPTED. One that was
-- told to end and has had its time has ENDED, and the caller removes it. One whose game session has ended is told to end; one that
-- was claimed for a game session which was never created is idle again.
--
-- KEYS[1] server process          hash
-- KEYS[2] idle ones at location   sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews       sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- KEYS[4] processes of its fleet  sorted set: server process ref -> registration in ms
-- ARGV[1] server process ref
-- ARGV[2] location of the server process, as the caller knows it
-- ARGV[3] its game session ref, as the caller knows it; empty for none
-- ARGV[4] status of that game session; empty if there is none on this process
-- ARGV[5] how long a server process may be silent, in ms
-- ARGV[6] how long a claim counts whose game session is not there, in ms
-- ARGV[7] how long a server process may take to end, in ms
-- ARGV[8] after what time it is told again to start a game session, in ms
-- ARGV[9] when to review what is under way again, in ms
--
-- RETURNS OK instance
-- RETURNS LOST instance
-- RETURNS ENDED reason
-- RETURNS CHANGED
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local names = {
  'status', 'location', 'game', 'healthy_at', 'claimed', 'started', 'connection', 'instance', 'terminate_at', 'terminate_on', 'start_on', 'start_at',
  'update', 'updated', 'interrupted', 'reason', 'ready', 'unhealthy',
}
local p = {}
for i, text in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
  p[names[i]] = text
end
local gone = not p.status
if not gone and (p.location ~= ARGV[2] or (p.game or '') ~= ARGV[3]) then
  return {'CHANGED'}
end

local over = ARGV[4] == 'TERMINATED' or ARGV[4] == 'ERROR'
local lost = not gone and tonumber(p.healthy_at) + ARGV[5] <= now
local terminate_at = tonumber(p.terminate_at or '')
local ended = p.status == 'ENDED' or terminate_at and terminate_at <= now
local release = p.game and not p.started and p.game and ARGV[4] == '' and tonumber(p.claimed) + ARGV[6] <= now
local started = p.game and not p.started and ARGV[4] == 'ACTIVE'
local starting = p.game and not (p.started or started or release)
local must_end = not terminate_at and (lost or p.started and p.game and ARGV[4] == '' or over or ARGV[4] == 'TERMINATING')
if must_end then
  terminate_at = now + ARGV[7]
end
local interrupted = p.interrupted or lost
local untold = starting and ARGV[4] == 'ACTIVATING' and (p.start_on ~= p.connection or p.start_at and p.start_at + ARGV[8] <= now)
  or terminate_at and p.terminate_on ~= p.connection
  or p.update ~= p.updated
local next_review = terminate_at or tonumber(p.healthy_at or 0) + ARGV[5]
if ended or starting or untold or interrupted and p.game and not over then
  next_review = math.min(next_review, now + ARGV[9])
end
local idle = release and p.status == 'ACTIVE' and p.ready and p.connection and not p.unhealthy and not terminate_at
local reply = {'OK', untold and p.connection and p.instance or ''}
if ended then
  reply = {'ENDED', p.reason or interrupted and 'INTERRUPTED' or ''}
elseif interrupted and p.game and not over then
  reply = {'LOST', p.instance or ''}
end

if gone then
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
else
  redis.call('ZADD', KEYS[3], string.format('%.0f', next_review), ARGV[1])
end
if not gone and ended then
  redis.call('HSET', KEYS[1], 'status', 'ENDED')
elseif lost then
  redis.call('HSET', KEYS[1], 'interrupted', '1')
end
if must_end and not gone then
  redis.call('HSET', KEYS[1], 'terminate_at', string.format('%.0f', terminate_at))
end
if started then
  redis.call('HSET', KEYS[1], 'started', '1')
end
if release then
  redis.call('HDEL', KEYS[1], 'game', 'game_name', 'claimed', 'start_on', 'start_at')
end
if idle then
  redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', now), ARGV[1])
elseif ended or must_end then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return reply

-- review_server_process.lua: sees to a server process that is due.
--
-- One that has been silent for too long is lost: it is told to end, and the caller ends its game session as INTERRUPTED. One that was
-- told to end and has had its time has ENDED, and the caller removes it. One whose game session has ended is told to end; one that
-- was claimed for a game session which was never created is idle again.
--
-- KEYS[1] server process          hash
-- KEYS[2] idle ones at location   sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews       sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] its game session ref, as the caller knows it; empty for none
-- ARGV[4] status of that game session; empty if there is none on this process
-- ARGV[5] how long a server process may be silent, in ms
-- ARGV[6] since when there has always been somebody to report to, in ms
-- ARGV[7] how long a claim counts whose game session is not there, in ms
-- ARGV[8] how long a server process may take to end, in ms
-- ARGV[9] in what time to review again what could not be told yet, in ms
-- ARGV[10] in what time to review again what the server process is to do, in ms
-- ARGV[11] until when what the caller knows counts, in ms
-- ARGV[12] 1 if the server process was known to have its game session when that was looked up, otherwise 0
-- ARGV[13] revision of the game session; empty for none
--
-- RETURNS OK instance
-- RETURNS LOST instance
-- RETURNS ENDED reason 1_if_by_this_review_otherwise_0
-- RETURNS CHANGED
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ref, life, known_game, game_status = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local silence_limit, attended_since, claim_limit, time_to_end = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local soon, start_interval, known_until = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local known_to_host, revision = ARGV[12] == '1', ARGV[13]

local names = {
  'life', 'status', 'game', 'healthy_at', 'claimed', 'started', 'connection', 'instance', 'terminate_at', 'terminate_on', 'starts',
  'update', 'updated', 'interrupted', 'reason', 'ready', 'unhealthy', 'hosts',
}
local p = {}
for i, text in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
  p[names[i]] = text
end
if p.life ~= life or (p.game or '') ~= known_game or now > known_until then
  return {'CHANGED'}
end

local silent_from = math.max(tonumber(p.healthy_at), attended_since)
local lost = silent_from + silence_limit <= now
local over = game_status == 'TERMINATED' or game_status == 'ERROR'
local terminate_at = tonumber(p.terminate_at or '')
local ended = p.status == 'ENDED' or terminate_at and terminate_at <= now
local gone = p.game and known_to_host and game_status == ''
local release = p.game and not p.hosts and game_status == '' and tonumber(p.claimed) + claim_limit <= now
local started = p.game and not p.started and game_status == 'ACTIVE'
local must_end = not terminate_at and (lost or over or game_status == 'TERMINATING' or gone)
if must_end then
  terminate_at = now + time_to_end
end
local interrupted = (p.interrupted or lost) and p.game and game_status ~= '' and not over
local revised = p.game and tonumber(revision) or 0
if revised > tonumber(p.update or 0) then
  p.update = revision
end
local starting = p.game and not (p.started or started or release or over or terminate_at)
local untold = starting and game_status == 'ACTIVATING' and not p.starts
  or terminate_at and p.terminate_on ~= p.connection
  or p.update ~= p.updated
untold = untold and p.connection -- it is looked up anyway when it connects

local next_review = silent_from + silence_limit
if ended then
  next_review = now + soon
elseif terminate_at and (lost or terminate_at < next_review) then
  next_review = terminate_at
end
if interrupted or untold then
  next_review = math.min(next_review, now + soon)
elseif starting and game_status == '' then
  next_review = math.min(next_review, p.claimed + claim_limit, now + soon)
elseif starting then
  next_review = math.min(next_review, now + start_interval)
end
local idle = release and p.status == 'ACTIVE' and p.ready and p.connection and not p.unhealthy and not terminate_at
local reply = {'OK', untold and p.instance or ''}
if ended then
  reply = {'ENDED', p.reason or p.interrupted and 'INTERRUPTED' or '', p.status == 'ENDED' and 0 or 1}
elseif interrupted then
  reply = {'LOST', p.instance or ''}
end

if ended and p.status ~= 'ENDED' then
  redis.call('HSET', KEYS[1], 'status', 'ENDED', 'given_up', '1')
elseif lost and not ended then
  redis.call('HSET', KEYS[1], 'interrupted', '1')
end
if must_end then
  redis.call('HSET', KEYS[1], 'terminate_at', string.format('%.0f', terminate_at))
end
if p.game and game_status ~= '' then
  redis.call('HSET', KEYS[1], 'hosts', '1')
end
if revised > 0 and p.update == revision then
  redis.call('HSET', KEYS[1], 'update', revision)
end
if started then
  redis.call('HSET', KEYS[1], 'started', '1')
end
if release then
  redis.call('HDEL', KEYS[1], 'claim', 'game', 'game_name', 'claimed', 'hosts', 'starts', 'start_at')
end
if idle then
  redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', now), ref)
elseif ended or must_end then
  redis.call('ZREM', KEYS[2], ref)
end
redis.call('ZADD', KEYS[3], string.format('%.0f', next_review), ref)
return reply

-- finish_game_session.lua: ends a game session that is TERMINATING, with the player sessions that hold its slots.
--
-- They become COMPLETED, or TIMEDOUT if they are past their deadline. The caller lists them; none is added any more.
--
-- KEYS[1] game session                     hash
-- KEYS[2] its player sessions              sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- KEYS[3] partition deadlines              sorted set: game session ref -> earliest deadline in ms
-- KEYS[4] partition ended                  sorted set: player session ref -> end in ms
-- KEYS[5] partition ended games            sorted set: game session ref -> end in ms
-- KEYS[6] live game sessions of its fleet  sorted set: game session ref -> creation in ms
-- KEYS[7..] two of each player session, in this order:
--   player session  hash
--   TTL key         string, expires at the deadline
-- ARGV[1] game session ref
-- ARGV[2..] a player session ref each, in the order of KEYS
--
-- RETURNS OK
-- RETURNS NOT_TERMINATING
-- RETURNS INCOMPLETE
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('HGET', KEYS[1], 'status') ~= 'TERMINATING' then
  return {'NOT_TERMINATING'}
end
local holders = {}
for i = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if score and score ~= '0' then
    holders[#holders + 1] = {KEYS[2 * i + 3], KEYS[2 * i + 4], ARGV[i], score}
  end
end
if #holders < redis.call('ZCOUNT', KEYS[2], '(0', '+inf') then
  return {'INCOMPLETE'}
end

for _, holder in ipairs(holders) do
  local status, ended = 'COMPLETED', now
  if holder[4] ~= 'inf' and tonumber(holder[4]) <= now then
    status, ended = 'TIMEDOUT', tonumber(holder[4])
  end
  redis.call('HSET', holder[1], 'status', status, 'ended', ended)
  redis.call('DEL', holder[2])
  redis.call('ZADD', KEYS[2], 0, holder[3])
  redis.call('ZADD', KEYS[4], ended, holder[3])
end
redis.call('HSET', KEYS[1], 'status', 'TERMINATED', 'ended', now)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('ZADD', KEYS[5], now, ARGV[1])
return {'OK'}

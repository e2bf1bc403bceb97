-- time_out_player_sessions.lua: marks reservations of one game session that are past their deadline (RESERVED -> TIMEDOUT).
--
-- The caller lists due members of the slots set; what is no longer due when the script runs is left alone. Marking
-- changes no answer, since a reservation past its deadline already holds no slot and already reads as TIMEDOUT: it
-- makes the stored record say so. At the end the partition's deadline of the game session is exact again, if nothing
-- else has come due; but a game session that has begun to end, or is kept for a placement, stays due.
--
-- KEYS[1] slots of the game session  sorted set: player session ref -> deadline in ms, +inf once ACTIVE
-- KEYS[2] partition deadlines        sorted set: game session ref -> earliest deadline in ms
-- KEYS[3] partition ended            sorted set: player session ref -> end in ms
-- KEYS[4] game session               hash
-- KEYS[5..] a player session each    hash
-- ARGV[1] game session ref
-- ARGV[2..] a player session ref each, in the order of KEYS
--
-- RETURNS OK marked_count
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local due, leftover = {}, {}
for i = 5, #KEYS do
  local ref = ARGV[i - 3]
  local score = redis.call('ZSCORE', KEYS[1], ref)
  if score and score ~= 'inf' and tonumber(score) <= now then
    local player = redis.call('HMGET', KEYS[i], 'status', 'deadline')
    if player[1] == 'RESERVED' and tonumber(player[2]) <= now then
      due[#due + 1] = {KEYS[i], ref, player[2]}
    else
      leftover[#leftover + 1] = ref
    end
  end
end
local still_due = redis.call('ZCOUNT', KEYS[1], '-inf', now) - #due - #leftover
-- What came due since the caller looked stays behind: the deadline of the game session must not be later than its.
local from = still_due > 0 and '-inf' or string.format('(%.0f', now)
local next_deadline = redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local game = redis.call('HMGET', KEYS[4], 'status', 'kept_for')
if game[1] == 'TERMINATING' or game[2] then
  next_deadline = now
elseif next_deadline == 'inf' then
  next_deadline = nil
end

for _, player in ipairs(due) do
  redis.call('HSET', player[1], 'status', 'TIMEDOUT', 'ended', player[3])
  redis.call('ZREM', KEYS[1], player[2])
  redis.call('ZADD', KEYS[3], player[3], player[2])
end
for _, ref in ipairs(leftover) do
  redis.call('ZREM', KEYS[1], ref)
end
if next_deadline then
  redis.call('ZADD', KEYS[2], next_deadline, ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return {'OK', #due}

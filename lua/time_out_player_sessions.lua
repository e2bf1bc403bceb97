-- time_out_player_sessions.lua: marks reservations of one game session that are past their deadline (RESERVED -> TIMEDOUT).
--
-- The caller lists player sessions that are due; what is no longer due when the script runs is left alone. Marking
-- changes no answer, since a reservation past its deadline already holds no slot and already reads as TIMEDOUT: it
-- makes the stored record say so. Where the set disagrees with a record, the record is right. At the end the partition's
-- deadline of the game session is exact again, if nothing else has come due: the earliest of those of its reservations, by when its
-- server process must have activated it, by when it must have ended, and when it is to be looked at again; one that is settled and still
-- kept for a placement stays due.
--
-- KEYS[1] player sessions of the game session  sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- KEYS[2] partition deadlines                  sorted set: game session ref -> earliest deadline in ms
-- KEYS[3] partition ended                      sorted set: player session ref -> end in ms
-- KEYS[4] game session                         hash
-- KEYS[5..] a player session each              hash
-- ARGV[1] game session ref
-- ARGV[2] in what time to look again whether the game session is to stay, in ms; 0 for never
-- ARGV[3] 1 if that is settled until then, 0 if nothing could be decided
-- ARGV[4..] a player session ref each, in the order of KEYS
--
-- RETURNS OK marked_count
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local due, misplaced = {}, {}
local restored
for i = 5, #KEYS do
  local ref = ARGV[i - 1]
  local score = redis.call('ZSCORE', KEYS[1], ref)
  if score and score ~= 'inf' and score ~= '0' and tonumber(score) <= now then
    local player = redis.call('HMGET', KEYS[i], 'status', 'deadline')
    if player[1] == 'RESERVED' and tonumber(player[2]) <= now then
      due[#due + 1] = {KEYS[i], ref, player[2]}
    else
      local standing = {RESERVED = player[2], ACTIVE = '+inf', COMPLETED = '0', TIMEDOUT = '0'}
      misplaced[#misplaced + 1] = {ref, standing[player[1]]}
      if player[1] == 'RESERVED' then
        restored = math.min(restored or math.huge, tonumber(player[2]))
      end
    end
  end
end
local still_due = redis.call('ZCOUNT', KEYS[1], '(0', now) - #due - #misplaced
-- What came due since the caller looked stays behind: the deadline of the game session must not be later than its.
local from = still_due > 0 and '(0' or string.format('(%.0f', now)
local next_deadline = redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local game = redis.call('HMGET', KEYS[4], 'status', 'kept_for', 'end_by', 'activate_by', 'unsettled')
local settled = ARGV[3] == '1'
local live = game[1] == 'ACTIVE' or game[1] == 'ACTIVATING'
if next_deadline == 'inf' then
  next_deadline = nil
end
local function no_later_than(deadline)
  next_deadline = math.min(tonumber(next_deadline or deadline), deadline)
end
if restored then
  no_later_than(restored)
end
if game[1] == 'TERMINATING' then
  no_later_than(tonumber(game[3] or now))
elseif live then
  if ARGV[2] ~= '0' then
    no_later_than(now + ARGV[2])
  end
  if settled and game[2] then
    no_later_than(now)
  end
  if game[1] == 'ACTIVATING' then
    no_later_than(tonumber(game[4]))
  end
end

for _, player in ipairs(due) do
  redis.call('HSET', player[1], 'status', 'TIMEDOUT', 'ended', player[3])
  redis.call('ZADD', KEYS[1], 0, player[2])
  redis.call('ZADD', KEYS[3], player[3], player[2])
end
for _, player in ipairs(misplaced) do
  if player[2] then
    redis.call('ZADD', KEYS[1], player[2], player[1])
  else
    redis.call('ZREM', KEYS[1], player[1])
  end
end
if settled and game[5] then
  redis.call('HDEL', KEYS[4], 'unsettled')
end
if next_deadline then
  redis.call('ZADD', KEYS[2], next_deadline, ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return {'OK', #due}

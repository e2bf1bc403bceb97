-- check_player_session.lua: judges a player session by its record, and mends what is derived from the record.
--
-- KEYS[1] player session          hash
-- KEYS[2] its game session        hash
-- KEYS[3] player sessions of that sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- KEYS[4] the player's sessions   sorted set: player session ref -> creation in ms
-- KEYS[5] partition deadlines     sorted set: game session ref -> earliest deadline in ms
-- KEYS[6] partition ended         sorted set: player session ref -> end in ms
-- KEYS[7] TTL key                 string, expires at the deadline
-- ARGV[1] 1 to mend, 0 to report only
-- ARGV[2] player session ref
-- ARGV[3] game session ref, as the record had it
-- ARGV[4] player id, as the record had it
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
local function differ(score, wanted)
  if score and wanted then
    return score ~= wanted and tonumber(score) ~= tonumber(wanted)
  end
  return score or wanted
end

local record = redis.call('HMGET', KEYS[1], 'game_session', 'player', 'status', 'created', 'deadline', 'ended')
if redis.call('EXISTS', KEYS[1]) == 0 or (record[1] or '') ~= ARGV[3] or (record[2] or '') ~= ARGV[4] then
  return {'CHANGED'}
end
local status, created, deadline, ended = record[3] or '', record[4] or '', record[5] or '', record[6] or ''
local held = status == 'RESERVED' or status == 'ACTIVE'
if ARGV[3] == '' or ARGV[4] == '' or not tonumber(created) or not tonumber(deadline)
  or not held and status ~= 'COMPLETED' and status ~= 'TIMEDOUT' then
  report('damaged-record', false, 'the player session lacks its game session, player, creation, deadline or a status that there is', KEYS[1])
  return reply
end
local orphan = redis.call('EXISTS', KEYS[2]) == 0
if orphan then
  report('orphan', true, 'the player session, ' .. status .. ', is of a game session that does not exist', KEYS[1], KEYS[2])
end

-- What the record should say.
local game_status = redis.call('HGET', KEYS[2], 'status')
local outlived = held and game_status == 'TERMINATED'
local undated = not held and not tonumber(ended)
if outlived then
  report('unended', true, 'the player session is ' .. status .. ' in a game session that is TERMINATED', KEYS[1], KEYS[2])
  if status == 'RESERVED' and tonumber(deadline) <= now then
    status, ended = 'TIMEDOUT', deadline
  else
    status, ended = 'COMPLETED', string.format('%.0f', now)
  end
  held = false
elseif undated and not orphan then
  report('damaged-record', true, 'the player session is ' .. status .. ' and does not say since when', KEYS[1])
  ended = status == 'TIMEDOUT' and deadline or string.format('%.0f', now)
end

-- What is derived from it.
local listed = redis.call('ZSCORE', KEYS[4], ARGV[2])
if not orphan and differ(listed, created) then
  report('index', true, 'the player session was created at ' .. created .. ', and the index says ' .. (listed or 'nothing'), KEYS[4], KEYS[1])
end
local wanted_slot = status == 'ACTIVE' and 'inf' or status == 'RESERVED' and deadline or '0'
local slot = redis.call('ZSCORE', KEYS[3], ARGV[2])
local slot_differs = differ(slot, wanted_slot)
if slot_differs and not orphan and not outlived then
  report('slot', true, 'the player session is ' .. status .. ' and should have ' .. wanted_slot .. ' in its game session, which has ' .. (slot or 'nothing'), KEYS[3], KEYS[1])
end
local wanted_end = not held and ended
local listed_end = redis.call('ZSCORE', KEYS[6], ARGV[2])
local end_differs = differ(listed_end, wanted_end)
if end_differs and not orphan and not outlived and not undated then
  report('ended', true, 'the player session is ' .. status .. ' and should have ' .. (wanted_end or 'nothing') .. ' among the ended, which have ' .. (listed_end or 'nothing'), KEYS[6], KEYS[1])
end
local due = redis.call('ZSCORE', KEYS[5], ARGV[3])
local late = not orphan and status == 'RESERVED' and game_status ~= 'TERMINATING'
  and (not due or due == 'inf' or tonumber(due) > tonumber(deadline))
if late then
  report('deadline', true, 'the player session is RESERVED until ' .. deadline .. ', and the deadline of its game session is ' .. (due or 'missing'), KEYS[5], KEYS[1])
end
local untimed = not orphan and status == 'RESERVED' and tonumber(deadline) > now and redis.call('EXISTS', KEYS[7]) == 0
if untimed then
  report('expiry', true, 'the player session is RESERVED until ' .. deadline .. ' and has no TTL key', KEYS[7], KEYS[1])
end

if mend and orphan then
  redis.call('DEL', KEYS[1], KEYS[7])
  for _, set in ipairs({KEYS[3], KEYS[4], KEYS[6]}) do
    redis.call('ZREM', set, ARGV[2])
  end
elseif mend then
  if outlived or undated then
    redis.call('HSET', KEYS[1], 'status', status, 'ended', ended)
    redis.call('DEL', KEYS[7])
  end
  if differ(listed, created) then
    redis.call('ZADD', KEYS[4], created, ARGV[2])
  end
  if slot_differs then
    redis.call('ZADD', KEYS[3], wanted_slot, ARGV[2])
  end
  if end_differs and wanted_end then
    redis.call('ZADD', KEYS[6], wanted_end, ARGV[2])
  elseif end_differs then
    redis.call('ZREM', KEYS[6], ARGV[2])
  end
  if late then
    redis.call('ZADD', KEYS[5], 'LT', deadline, ARGV[3])
  end
  if untimed then
    redis.call('SET', KEYS[7], 1, 'PXAT', deadline)
  end
end
return reply

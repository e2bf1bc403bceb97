-- check_game_session.lua: judges a game session by its record, and mends what is derived from the record.
--
-- More taken slots than the game session ever had are reported and left: nobody is evicted. That it should have ended is
-- left to the caller, too, who terminates it.
--
-- KEYS[1] game session                     hash
-- KEYS[2] its player sessions              sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- KEYS[3] game sessions of its fleet       sorted set: game session ref -> creation in ms
-- KEYS[4] live game sessions of its fleet  sorted set: game session ref -> creation in ms
-- KEYS[5] partition deadlines              sorted set: game session ref -> earliest deadline in ms
-- KEYS[6] partition ended games            sorted set: game session ref -> end in ms
-- ARGV[1] 1 to mend, 0 to report only
-- ARGV[2] game session ref
-- ARGV[3] fleet id, as the record had it
-- ARGV[4] key of what it belongs to, if that is gone, otherwise empty
-- ARGV[5] what that is
-- ARGV[6] how old a game session must be to have to have that, in ms
-- ARGV[7] for how long what is due may be put off, in ms
-- ARGV[8] how often one is looked at that runs on a server process, in ms
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

local record = redis.call('HMGET', KEYS[1], 'fleet', 'status', 'created', 'ended', 'max', 'peak', 'kept_for', 'end_by', 'activate_by', 'process')
if redis.call('EXISTS', KEYS[1]) == 0 or (record[1] or '') ~= ARGV[3] then
  return {'CHANGED'}
end
local status, created, ended, max = record[2] or '', record[3] or '', record[4] or '', tonumber(record[5] or '')
local open = status == 'ACTIVE' or status == 'ACTIVATING'
local over = status == 'TERMINATED' or status == 'ERROR'
if not tonumber(created) or not max or not open and not over and status ~= 'TERMINATING'
  or status == 'ACTIVATING' and not tonumber(record[9] or '') then
  report('damaged-record', false, 'the game session lacks its creation, maximum, time to activate it or a status that there is', KEYS[1])
  return reply
end
local undated = over and not tonumber(ended)
if undated then
  report('damaged-record', true, 'the game session is ' .. status .. ' and does not say since when', KEYS[1])
  ended = string.format('%.0f', now)
end
local unended = open and ARGV[4] ~= '' and tonumber(created) <= now - tonumber(ARGV[6])
if unended then
  report('unended', false, 'the game session is ' .. status .. ' and its ' .. ARGV[5] .. ' is gone', KEYS[1], ARGV[4])
end
local taken = redis.call('ZCOUNT', KEYS[2], string.format('(%.0f', now), '+inf')
local most = math.max(max, tonumber(record[6] or '') or 0)
if taken > most and not over then
  report('oversold', false, string.format('%.0f player sessions hold slots of the game session, which never had more than %.0f', taken, most), KEYS[2], KEYS[1])
end

local in_fleet = redis.call('ZSCORE', KEYS[3], ARGV[2])
if differ(in_fleet, created) then
  report('index', true, 'the game session was created at ' .. created .. ', and the index says ' .. (in_fleet or 'nothing'), KEYS[3], KEYS[1])
end
local wanted_live = not over and created
local in_live = redis.call('ZSCORE', KEYS[4], ARGV[2])
local live_differs = differ(in_live, wanted_live)
if live_differs then
  report('index', true, 'the game session is ' .. status .. ', created at ' .. created .. ', and the live ones have ' .. (in_live or 'nothing'), KEYS[4], KEYS[1])
end
local wanted_end = over and ended
local in_ended = redis.call('ZSCORE', KEYS[6], ARGV[2])
local end_differs = differ(in_ended, wanted_end)
if end_differs and not undated then
  report('ended', true, 'the game session is ' .. status .. ' and should have ' .. (wanted_end or 'nothing') .. ' among the ended, which have ' .. (in_ended or 'nothing'), KEYS[6], KEYS[1])
end
local due = redis.call('ZSCORE', KEYS[5], ARGV[2])
local unfinished, see_to_by
if status == 'TERMINATING' then
  unfinished, see_to_by = 'TERMINATING', tonumber(record[8] or '') or now
elseif open and record[7] then
  unfinished, see_to_by = 'kept for a placement', now
elseif status == 'ACTIVATING' then
  unfinished, see_to_by = 'ACTIVATING', tonumber(record[9])
elseif open and record[10] then
  unfinished, see_to_by = 'on a server process', now + ARGV[8]
end
local stalled = unfinished and (not due or due == 'inf' or tonumber(due) > math.max(now + ARGV[7], see_to_by))
if stalled then
  report('deadline', true, 'the game session is ' .. unfinished .. ' and its deadline is ' .. (due or 'missing') .. ', so nobody sees to it', KEYS[5], KEYS[1])
end
local reservations = redis.call('ZCOUNT', KEYS[2], '(0', '+inf') - redis.call('ZCOUNT', KEYS[2], '+inf', '+inf')
local needless = due and (over or due == 'inf' and reservations == 0 and not stalled)
if needless then
  report('deadline', true, 'the game session is ' .. status .. ' without reservations and has the deadline ' .. due .. ', which nothing removes', KEYS[5], KEYS[1])
end

if mend then
  if undated then
    redis.call('HSET', KEYS[1], 'ended', ended)
  end
  if differ(in_fleet, created) then
    redis.call('ZADD', KEYS[3], created, ARGV[2])
  end
  if live_differs and wanted_live then
    redis.call('ZADD', KEYS[4], wanted_live, ARGV[2])
  elseif live_differs then
    redis.call('ZREM', KEYS[4], ARGV[2])
  end
  if end_differs and wanted_end then
    redis.call('ZADD', KEYS[6], wanted_end, ARGV[2])
  elseif end_differs then
    redis.call('ZREM', KEYS[6], ARGV[2])
  end
  if stalled then
    redis.call('ZADD', KEYS[5], now, ARGV[2])
  end
  if needless then
    redis.call('ZREM', KEYS[5], ARGV[2])
  end
end
return reply

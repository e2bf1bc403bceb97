-- check_index.lua: judges members of an index by the records that they name, and removes those that do not belong there.
--
-- A member does not belong when there is no such record, or the record says that it is of something else.
--
-- KEYS[1] index  sorted set: name of a record -> anything
-- KEYS[2..] a record each  hash
-- ARGV[1] 1 to mend, 0 to report only
-- ARGV[2] the field in which a record says of what it is, empty when to be there is enough
-- ARGV[3] what that must be
-- ARGV[4..] a member each, in the order of KEYS
--
-- A finding is {kind, 1 if mended, what is wrong, key...}.
--
-- RETURNS OK {finding}...
local mend = ARGV[1] == '1'
local reply = {'OK'}
local stray = {}
for i = 4, #ARGV do
  local what
  if redis.call('EXISTS', KEYS[i - 2]) == 0 then
    what = 'the index has what does not exist'
  elseif ARGV[2] ~= '' and (redis.call('HGET', KEYS[i - 2], ARGV[2]) or ARGV[3]) ~= ARGV[3] then
    what = 'the index has what belongs elsewhere'
  end
  if what and redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    stray[#stray + 1] = ARGV[i]
    reply[#reply + 1] = {'stray-entry', mend and 1 or 0, what, KEYS[1], KEYS[i - 2]}
  end
end

if mend then
  for _, member in ipairs(stray) do
    redis.call('ZREM', KEYS[1], member)
  end
end
return reply

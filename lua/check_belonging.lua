-- check_belonging.lua: deletes what belongs to something that does not exist any more.
--
-- KEYS[1] what belongs  of any type
-- KEYS[2] to what       hash
-- ARGV[1] 1 to mend, 0 to report only
--
-- A finding is {kind, 1 if mended, what is wrong, key...}.
--
-- RETURNS OK {finding}...
local mend = ARGV[1] == '1'
local reply = {'OK'}
local orphan = redis.call('EXISTS', KEYS[1]) == 1 and redis.call('EXISTS', KEYS[2]) == 0
if orphan then
  reply[2] = {'orphan', mend and 1 or 0, 'it belongs to what does not exist', KEYS[1], KEYS[2]}
end

if mend and orphan then
  redis.call('DEL', KEYS[1])
end
return reply

-- check_expiry.lua: judges whether a key that has to expire does, and makes it.
--
-- KEYS[1] the key  of any type
-- ARGV[1] 1 to mend, 0 to report only
-- ARGV[2] when it is to expire, in ms; empty when that is not known
-- ARGV[3] after how long it is to expire if that is not known, in ms
--
-- A finding is {kind, 1 if mended, what is wrong, key...}.
--
-- RETURNS OK {finding}...
local mend = ARGV[1] == '1'
local reply = {'OK'}
local lasting = redis.call('PTTL', KEYS[1]) == -1
if lasting then
  reply[2] = {'expiry', mend and 1 or 0, 'it has to expire and does not', KEYS[1]}
end

if mend and lasting and tonumber(ARGV[2]) then
  redis.call('PEXPIREAT', KEYS[1], ARGV[2])
elseif mend and lasting then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return reply

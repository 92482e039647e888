-- One atomic step over the counters of a request. `claim.rs` explains the words, `memory.rs` has the same counters.
--
-- KEYS: for each claim its counter, and the holds of its counter: the amounts of running requests, by their expiry.
-- ARGV: operation, holder, milliseconds of a hold, slots of a window; then for each claim eight values:
--   kind (w, c, s), amount, limit, exempt (0, 1), from, to, threshold of the warning or '', used
--   from: the length of a window, or the start of a period; to: the place of the reservation, or the end of a period
-- Operations: look, reserve, settle, again (settle, if the answer to an earlier try was lost), renew.
-- Answer of look and reserve: 1 if all claims fit, then for each claim seven numbers:
--   cause (0 fits, 1 held, 2 used up), milliseconds to wait, used, milliseconds until empty, place, amount, warns (0, 1)
local operation, holder = ARGV[1], ARGV[2]
local hold, slots = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local day = 86400000

local function text(number)
  return string.format('%.0f', number)
end

-- Windows: a field for each slot, with its amount and the time of its last reservation.

local function window(key, length)
  local found = { slots = {}, used = 0 }
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local amount, last = string.match(fields[i + 1], '^(%d+) (%d+)$')
    local slot = { number = tonumber(fields[i]), amount = tonumber(amount), last = tonumber(last) }
    -- a clock that was set back leaves slots in the future
    if slot.last + length <= now or slot.last > now + length then
      redis.call('HDEL', key, fields[i])
    else
      table.insert(found.slots, slot)
      found.used = found.used + slot.amount
    end
  end
  table.sort(found.slots, function(one, other) return one.number < other.number end)
  return found
end

local function until_fits(found, length, amount, limit)
  local used, wait = found.used, 0
  for _, slot in ipairs(found.slots) do
    if used + amount <= limit then break end
    used = used - slot.amount
    wait = math.max(slot.last + length - now, 1)
  end
  return wait
end

local function put(key, slot)
  redis.call('HSET', key, text(slot.number), text(slot.amount) .. ' ' .. text(slot.last))
end

local function grain_of(length)
  return math.max(math.floor(length / slots), 1)
end

local function add(key, found, length, amount)
  local grain = grain_of(length)
  local number = math.floor(now / grain)
  local slot = found.slots[#found.slots]
  if slot and slot.number >= number then
    slot.amount = slot.amount + amount
    -- nothing keeps no slot
    if amount > 0 then slot.last = math.max(slot.last, now) end
  else
    slot = { number = number, amount = amount, last = now }
    table.insert(found.slots, slot)
  end
  found.used = found.used + amount
  put(key, slot)
  redis.call('PEXPIRE', key, text(length + grain + 1000))
  return slot.number
end

-- Sums: a hash for the period; the reserved money of requests whose gateway is gone comes back. Such a hold becomes a
-- marker, so that a settlement that comes after all is charged, and charged once.

local gone = 'gone:'

local function is_of_another(sum, from, to)
  local shared = sum.to - from
  if from > sum.from then return shared * 2 < to - from end
  return to < sum.from
end

local function sum(key, holds, from, to)
  local fields = redis.call('HMGET', key, 'from', 'to', 'spent', 'reserved', 'warned')
  local found = { from = from, to = to, spent = 0, reserved = 0, warned = '0', is_new = true }
  if not fields[1] then return found end
  local known = { from = tonumber(fields[1]), to = tonumber(fields[2]), spent = tonumber(fields[3]),
    reserved = tonumber(fields[4]), warned = fields[5] }
  if is_of_another(known, from, to) then return found end
  local over = redis.call('ZRANGEBYSCORE', holds, '-inf', text(now))
  if #over > 0 then
    redis.call('ZREMRANGEBYSCORE', holds, '-inf', text(now))
    for _, member in ipairs(over) do
      if string.sub(member, 1, #gone) ~= gone then
        known.reserved = math.max(known.reserved - tonumber(string.match(member, ':(%d+)$')), 0)
        redis.call('ZADD', holds, text(now + day), gone .. member)
      end
    end
    redis.call('HSET', key, 'reserved', text(known.reserved))
  end
  return known
end

local function keep(key, holds, found)
  if found.is_new then redis.call('DEL', holds) end
  redis.call('HSET', key, 'from', text(found.from), 'to', text(found.to), 'spent', text(found.spent),
    'reserved', text(found.reserved), 'warned', found.warned)
  local life = text(math.max(found.to * 1000 - now, 0) + day)
  redis.call('PEXPIRE', key, life)
  redis.call('PEXPIRE', holds, life)
end

local function read(n)
  local at = 4 + (n - 1) * 8
  return { key = KEYS[2 * n - 1], holds = KEYS[2 * n], kind = ARGV[at + 1], amount = tonumber(ARGV[at + 2]),
    limit = tonumber(ARGV[at + 3]), is_exempt = ARGV[at + 4] == '1', from = tonumber(ARGV[at + 5]),
    to = tonumber(ARGV[at + 6]), threshold = tonumber(ARGV[at + 7]), used = tonumber(ARGV[at + 8]) }
end

-- Returns the cause of a refusal and the time to wait.
local function check(claim)
  if claim.kind == 'w' then
    claim.found = window(claim.key, claim.from)
    local wait = until_fits(claim.found, claim.from, claim.amount, claim.limit)
    if wait > 0 then return 2, wait end
  elseif claim.kind == 'c' then
    redis.call('ZREMRANGEBYSCORE', claim.holds, '-inf', text(now))
    claim.found = { used = redis.call('ZCARD', claim.holds) }
    if claim.found.used + claim.amount > claim.limit then return 1, 0 end
  else
    local found = sum(claim.key, claim.holds, claim.from, claim.to)
    claim.found = found
    found.used = found.spent + found.reserved
    if found.spent >= claim.limit then return 2, 0 end
    if claim.amount > 0 and found.used >= claim.limit then return 1, 0 end
  end
  return 0, 0
end

-- Reserves, and returns the place and the amount.
local function charge(claim)
  local found = claim.found
  if claim.kind == 'w' then
    return add(claim.key, found, claim.from, claim.amount), claim.amount
  end
  if claim.kind == 'c' then
    if claim.amount > 0 then
      found.used = found.used + 1
      redis.call('ZADD', claim.holds, text(now + hold), holder)
      redis.call('PEXPIRE', claim.holds, text(hold + 1000))
    end
    return 0, claim.amount
  end
  local amount = math.min(claim.amount, math.max(claim.limit - found.used, 0))
  found.reserved, found.used = found.reserved + amount, found.used + amount
  if claim.threshold and found.warned == '0' and found.used >= claim.threshold then
    found.warned, claim.warns = '1', 1
  end
  keep(claim.key, claim.holds, found)
  -- also without money: the hold says that the settlement has not come yet
  redis.call('ZADD', claim.holds, text(now + hold), holder .. ':' .. text(amount))
  redis.call('PEXPIRE', claim.holds, text(math.max(found.to * 1000 - now, 0) + day))
  return found.from, amount
end

local function until_empty(claim)
  if claim.kind ~= 'w' then return 0 end
  local wait = 0
  for _, slot in ipairs(claim.found.slots) do
    if slot.amount > 0 then wait = math.max(wait, slot.last + claim.from - now) end
  end
  return wait
end

local function settle(claim)
  if claim.kind == 'c' then
    redis.call('ZREM', claim.holds, holder)
  elseif claim.kind == 'w' then
    -- a second try could count twice; the estimate stays then
    if operation == 'again' then return end
    for _, slot in ipairs(window(claim.key, claim.from).slots) do
      if slot.number == claim.to then
        slot.amount = math.max(slot.amount - claim.amount, 0) + claim.used
        -- a reservation of nothing did not note its time, which is in the slot
        if claim.amount == 0 and claim.used > 0 then
          slot.last = math.max(slot.last, math.min(now, (slot.number + 1) * grain_of(claim.from)))
        end
        put(claim.key, slot)
      end
    end
  else
    local fields = redis.call('HMGET', claim.key, 'from', 'spent', 'reserved')
    if not fields[1] or tonumber(fields[1]) ~= claim.from then return end
    local member = holder .. ':' .. text(claim.amount)
    local was_held = redis.call('ZREM', claim.holds, member) == 1
    local is_late = redis.call('ZREM', claim.holds, gone .. member) == 1
    local spent, reserved = tonumber(fields[2]), tonumber(fields[3])
    if was_held then reserved = math.max(reserved - claim.amount, 0) end
    if was_held or is_late or operation == 'settle' then spent = spent + claim.used end
    redis.call('HSET', claim.key, 'spent', text(spent), 'reserved', text(reserved))
  end
end

if operation == 'renew' then
  -- here the values after the first four are the members
  for n = 1, #KEYS do
    redis.call('ZADD', KEYS[n], 'XX', text(now + hold), ARGV[4 + n])
    if redis.call('PTTL', KEYS[n]) < hold + 1000 then redis.call('PEXPIRE', KEYS[n], text(hold + 1000)) end
  end
  return {}
end

local claims, answer, fits = {}, { 1 }, true
for n = 1, #KEYS / 2 do
  local claim = read(n)
  table.insert(claims, claim)
  if operation == 'settle' or operation == 'again' then
    settle(claim)
  else
    claim.cause, claim.wait = check(claim)
    if claim.is_exempt then claim.cause = 0 end
    fits = fits and claim.cause == 0
  end
end
if operation == 'settle' or operation == 'again' then return {} end
if not fits then answer[1] = 0 end
for _, claim in ipairs(claims) do
  local place, amount = 0, 0
  if fits and operation == 'reserve' then place, amount = charge(claim) end
  for _, number in ipairs({ claim.cause, claim.wait, claim.found.used, until_empty(claim), place, amount, claim.warns or 0 }) do
    table.insert(answer, number)
  end
end
return answer

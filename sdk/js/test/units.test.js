import assert from 'node:assert/strict'
import test from 'node:test'
import { claims, EventStreamParser, HeartbeatTuner, Ledger, LocalStore, Martlet, MartletError, matches, MemoryStore, pause, Recent, topicPath } from '../martlet.js'

const events = (...pieces) => {
  const seen = []
  const parser = new EventStreamParser((event) => seen.push(event))
  for (const piece of pieces) parser.feed(piece)
  return seen
}

test('events of a stream, whole and byte by byte', () => {
  const text = '\uFEFFretry: 5\nevent: welcome\nid: A1\ndata: {"a":1}\n\n: beat\n\ndata:x\ndata: y\r\n\r\nid\rdata: z\r\rid: n\0o\ndata: same\n\ndata: not ended\n'
  const expected = [
    { type: 'welcome', data: '{"a":1}', id: 'A1' }, { type: 'message', data: 'x\ny', id: 'A1' }, { type: 'message', data: 'z', id: '' },
    { type: 'message', data: 'same', id: '' },
  ]
  assert.deepEqual(events(text), expected)
  assert.deepEqual(events(...text), expected)
  for (let cut = 1; cut < text.length; cut += 1) assert.deepEqual(events(text.slice(0, cut), text.slice(cut)), expected, `cut at ${cut}`)
})

test('filters match as the protocol says', () => {
  for (const [filter, topic, expected] of [
    ['a', 'a', true], ['a', 'b', false], ['a/+', 'a/b', true], ['a/+', 'a', false], ['a/+', 'a/b/c', false], ['a/#', 'a', true],
    ['a/#', 'a/b/c', true], ['#', 'a', true], ['#', '$s', false], ['+/a', '$s/a', false], ['$s/+', '$s/a', true], ['a//+', 'a//', true],
    ['+', '', true], ['a/b', 'a', false],
  ]) assert.equal(matches(filter, topic), expected, `${filter} on ${topic}`)
})

test('the path of a topic', () => {
  assert.equal(topicPath('room/1 ü'), '/v1/topics/room/1%20%C3%BC')
  assert.equal(topicPath('room', 'history'), '/v1/topics/room/history')
  assert.equal(topicPath('a/history'), '/v1/topics/a%2Fhistory')
  assert.equal(topicPath('history', 'presence'), '/v1/topics/history/presence')
})

test('the cursor moves over what was handled, in order', () => {
  const ledger = new Ledger('0')
  const [a, b, c, d] = ['1', '2', undefined, '4'].map((cursor, index) => ledger.add(cursor, `m${index}`))
  assert.equal(ledger.done(b), false)
  assert.deepEqual([ledger.cursor, ledger.ahead], ['0', ['m1']])
  assert.equal(ledger.done(a), true)
  assert.deepEqual([ledger.cursor, ledger.ahead, ledger.size], ['2', [], 2])
  ledger.done(d)
  assert.equal(ledger.cursor, '2')
  assert.deepEqual(ledger.ahead, ['m3'])
  ledger.done(c)
  const last = [5, 6].map((number) => ledger.add(undefined, `m${number}`))
  ledger.done(last[0])
  assert.deepEqual([ledger.cursor, ledger.ahead], ['4', ['m5']])
  ledger.done(last[1])
  ledger.done(ledger.add('7'))
  assert.deepEqual([ledger.cursor, ledger.ahead], ['7', []])
  assert.equal(ledger.size, 0)
})

test('the set of seen ids is bounded and forgets the oldest', () => {
  const recent = new Recent(3, ['a'])
  for (const id of ['b', 'c', 'd']) recent.add(id)
  assert.deepEqual(['a', 'b', 'c', 'd'].map((id) => recent.has(id)), [false, true, true, true])
  assert.equal(recent.size, 3)
})

test('the heartbeat finds the longest interval that a network lets through', () => {
  for (const limit of [12, 30, 47, 90, 119, 500]) {
    let tuner = new HeartbeatTuner({ least: 10, most: 120, start: 25 }, null, 0)
    for (let step = 0; step < 20; step += 1) {
      if (tuner.interval <= limit) tuner.held(tuner.interval)
      else tuner.died(tuner.interval)
      assert.ok(tuner.interval >= 10 && tuner.interval <= 120)
      // Kept between pages.
      tuner = new HeartbeatTuner({ least: 10, most: 120, start: 25 }, JSON.parse(JSON.stringify(tuner.saved(step))), step)
    }
    const best = Math.min(limit, 120)
    assert.ok(tuner.interval <= best && tuner.interval > best - 8, `${tuner.interval} where ${limit} is let through`)
  }
})

test('a bad interval is tried again after a day', () => {
  const tuner = new HeartbeatTuner({}, null, 0)
  tuner.died(25)
  const saved = tuner.saved(0)
  assert.ok(new HeartbeatTuner({}, saved, 1_000).bad === 25)
  assert.equal(new HeartbeatTuner({}, saved, 2 * 86_400_000).bad, Infinity)
})

test('pauses have full jitter and a bound', () => {
  assert.equal(pause(0, {}, () => 0), 0)
  assert.equal(pause(3, { baseMs: 100, mostMs: 10_000 }, () => 1), 800)
  assert.equal(pause(1_000, {}, () => 1), 30_000)
})

test('claims are read from a token, and anything else has none', () => {
  const part = Buffer.from(JSON.stringify({ sub: 'ü', exp: 5 })).toString('base64url')
  assert.deepEqual(claims(`x.${part}.y`), { sub: 'ü', exp: 5 })
  for (const text of ['', 'x', 'a.b.c', 'a.bnVsbA.c', null]) assert.deepEqual(claims(text), {})
})

test('errors say what to do', () => {
  const error = MartletError.from({ code: 'forbidden', message: 'No.', limit: 3 }, 403)
  assert.equal(error.code, 'forbidden')
  assert.equal(error.limit, 3)
  assert.match(error.message, /^No\. .*token/)
  const made = { connect: false, url: 'http://localhost:1' }
  for (const [options, message] of [
    [{ ...made, url: undefined }, /url/], [{ ...made, url: 'ftp://x' }, /http/], [{ ...made, transports: ['smoke'] }, /"smoke".*websocket/],
    [{ ...made, token: 5 }, /token/],
  ]) assert.throws(() => new Martlet(options), message)
  const martlet = new Martlet(made)
  assert.throws(() => martlet.on('x'), /on\('type', handler\)/)
  assert.throws(() => martlet.topic(''), /topic\('room\/1'\)/)
  assert.throws(() => martlet.topic('a/#').subscribe(() => {}, { since: 'earliest' }), /since/)
  martlet.close()
  assert.throws(() => martlet.connect(), /new Martlet/)
})

test('a store that is full or forbidden is no end', () => {
  assert.throws(() => new LocalStore({ setItem() { throw new Error('denied') } }))
  const store = new LocalStore({ setItem(name) { if (name !== 'martlet') throw new Error('full') }, removeItem() {}, getItem: () => null })
  store.set('a', 'b')
  const memory = new MemoryStore()
  memory.set('a', 'b')
  assert.equal(memory.get('a'), 'b')
  memory.remove('a')
  assert.equal(memory.get('a'), null)
})

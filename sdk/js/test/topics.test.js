import assert from 'node:assert/strict'
import { MemoryStore } from '../martlet.js'
import { client, test, TRANSPORTS } from './support/client.js'
import { Proxy, Server, token, until } from './support/server.js'

const namespace = (server, name, options) => server.ask('PUT', `/v1/namespaces/${name}`, options)
const silence = (ms) => new Promise((resolve) => { setTimeout(resolve, ms) })

for (const transport of TRANSPORTS) {
  test(`${transport}: publishes arrive in order, and goes on after a kill with what is kept`, async (t) => {
    const server = await Server.start(t)
    await namespace(server, 'room', { history: { messages: 1000 }, storage: 'durable' })
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    const room = []
    const subscription = seen.martlet.topic('room/1').subscribe((data) => room.push(data))
    await subscription.ready
    const sent = []
    const say = async (data) => { sent.push(data); return seen.martlet.topic('room/1').publish(data) }
    for (let number = 0; number < 50; number += 1) say(number)
    await until(() => room.length === 50, 'fifty')
    await server.kill9()
    const late = say('while away')
    await server.start()
    await server.say('room/1', 'by another')
    assert.ok((await late).id)
    await until(() => room.length === 52, `all of ${room.length}`)
    assert.deepEqual(room.slice(0, 50), sent.slice(0, 50))
    assert.deepEqual(room.slice(50).sort(), ['by another', 'while away'])
    assert.deepEqual(seen.errors, [])
  })

  test(`${transport}: history first, then what comes, each once`, async (t) => {
    const server = await Server.start(t)
    await namespace(server, 'room', { history: { messages: 1000 } })
    for (let number = 0; number < 30; number += 1) await server.say('room/1', number)
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    const rooms = [[], [], []]
    const topic = seen.martlet.topic('room/1')
    const feed = (async () => { for (let number = 30; number < 60; number += 1) await server.say('room/1', number) })()
    const ready = rooms.map((room, index) => topic.subscribe((data) => room.push(data), { since: ['last:10', 'earliest', 'latest'][index] }).ready)
    await Promise.all([...ready, feed])
    await server.say('room/1', 'end')
    for (const room of rooms) await until(() => room.at(-1) === 'end', 'the end')
    assert.deepEqual(rooms[1], [...Array(60).keys(), 'end'])
    assert.ok(rooms[0].length >= 11)
    assert.deepEqual(rooms[0], [...Array(60).keys(), 'end'].slice(-rooms[0].length))
    assert.deepEqual(rooms[2], [...Array(60).keys(), 'end'].slice(-rooms[2].length))
    const page = await topic.history({ since: 'last:2' })
    assert.deepEqual(page.messages.map(({ data }) => data), [59, 'end'])
  })

  test(`${transport}: a topic can be added and left on a live connection`, async (t) => {
    const server = await Server.start(t)
    await namespace(server, 'a', { history: { messages: 100 } })
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    seen.collect()
    const got = { one: [], two: [], all: [] }
    const one = seen.martlet.topic('a/one').subscribe((data) => got.one.push(data))
    await one.ready
    const two = seen.martlet.topic('a/two').subscribe((data) => got.two.push(data))
    const all = seen.martlet.topic('a/#').subscribe((data, message) => got.all.push(message.topic))
    await Promise.all([two.ready, all.ready])
    await server.say('a/one', 1)
    await server.say('a/two', 2)
    await until(() => got.one.length && got.two.length && got.all.length === 2, JSON.stringify(got))
    two()
    all()
    await silence(300)
    await server.say('a/two', 3)
    await server.say('a/one', 4)
    await until(() => got.one.length === 2, 'the rest')
    assert.deepEqual(got, { one: [1, 4], two: [2], all: ['a/one', 'a/two'] })
    await server.publish('alice', 'inbox')
    await seen.count(1)
    assert.ok(!seen.statuses.some(({ state }) => state === 'waiting'))
  })

  test(`${transport}: the retained value comes to who subscribes, also on a topic that is subscribed to already`, async (t) => {
    const server = await Server.start(t)
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    await seen.martlet.topic('state/x').publish({ on: true }, { retain: true })
    const values = [[], []]
    const flags = []
    const topic = seen.martlet.topic('state/x')
    const first = topic.subscribe((data, message) => { values[0].push(data); flags.push(message.retained) })
    await first.ready
    await until(() => values[0].length === 1, 'the value')
    await topic.subscribe((data) => values[1].push(data)).ready
    await until(() => values[1].length === 1, 'the value again')
    await silence(200)
    assert.deepEqual(values, [[{ on: true }], [{ on: true }]])
    assert.deepEqual(flags, [true])
    assert.deepEqual((await topic.retained()).data, { on: true })
    assert.equal(await seen.martlet.topic('state/none').retained(), null)
  })

  test(`${transport}: who is there`, async (t) => {
    const server = await Server.start(t)
    await namespace(server, 'room', { presence: true, history: { messages: 10 } })
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    const topic = seen.martlet.topic('room/1')
    const events = []
    await topic.subscribe(() => {}).ready
    topic.onPresence((event) => events.push(event))
    await silence(300)
    const other = client(t, server, { user: 'bob', device: 'b' })
    await other.martlet.topic('room/1').subscribe(() => {}).ready
    await until(() => events.some(({ joined }) => joined?.some(({ user }) => user === 'bob')), 'bob')
    if (transport !== 'longpoll') assert.deepEqual((await topic.presence()).members.map(({ user }) => user), ['alice', 'bob'])
    other.martlet.close()
    await until(() => events.some(({ left }) => left?.some(({ user }) => user === 'bob')), 'bob gone')
  })

  test(`${transport}: a topic that is not allowed is refused by itself, and the others go on`, async (t) => {
    const server = await Server.start(t, { isDev: false })
    const seen = client(t, server, { device: 'd', transports: [transport], token: () => token('alice', { topics: { 'ok/#': ['subscribe', 'publish'] } }) })
    const room = []
    const good = seen.martlet.topic('ok/1').subscribe((data) => room.push(data))
    await good.ready
    const bad = seen.martlet.topic('secret/1').subscribe(() => {})
    await assert.rejects(bad.ready, { code: 'forbidden' })
    await assert.rejects(seen.martlet.topic('secret/1').publish(1), { code: 'forbidden' })
    // Together, from the beginning.
    const both = client(t, server, { device: 'e', transports: [transport], token: () => token('alice', { topics: { 'ok/#': ['subscribe'] } }) })
    const again = both.martlet.topic('ok/2').subscribe((data) => room.push(data))
    await assert.rejects(both.martlet.topic('secret/2').subscribe(() => {}).ready, { code: 'forbidden' })
    await again.ready
    await until(async () => {
      await server.say('ok/1', 'one')
      await server.say('ok/2', 'two')
      return room.includes('one') && room.includes('two')
    }, 'both')
  })
}

test('longpoll: a request that was given up and comes late stops nobody', async (t) => {
  const server = await Server.start(t)
  const gone = new AbortController()
  t.after(() => gone.abort())
  let late
  let isSent = false
  const seen = client(t, server, {
    user: 'alice', device: 'd', transports: ['longpoll'],
    fetch: (url, options) => {
      if (!/[?&]wait=[1-9]/.test(url)) return fetch(url, options)
      if (!late) options.signal.addEventListener('abort', () => { late = { url, headers: options.headers } })
      else if (!isSent) {
        isSent = true
        // The one that waits by then loses the session.
        setTimeout(() => { fetch(late.url, { headers: late.headers, signal: gone.signal }).catch(() => {}) }, 200)
      }
      return fetch(url, options)
    },
  })
  const room = []
  await seen.martlet.topic('room/1').subscribe((data) => room.push(data)).ready
  await seen.martlet.topic('room/2').subscribe((data) => room.push(data)).ready
  await until(() => isSent, 'a second poll')
  await silence(400)
  let turn = 0
  await until(async () => {
    // One at a time: what comes between two polls is missed, as nothing is kept.
    turn += 1
    await server.say(turn % 2 ? 'room/1' : 'room/2', turn % 2 ? 'one' : 'two')
    return room.includes('one') && room.includes('two')
  }, 'both')
  assert.equal(seen.martlet.status.state, 'connected')
})

test('a right that a renewed token does not hold any more ends its subscription', async (t) => {
  const server = await Server.start(t, { isDev: false })
  let isAllowed = true
  const seen = client(t, server, {
    device: 'd',
    token: () => token('alice', { exp: Math.floor(Date.now() / 1000) + 4, topics: isAllowed ? { 'a/#': ['subscribe'] } : {} }),
  })
  await seen.martlet.topic('a/1').subscribe(() => {}).ready
  isAllowed = false
  await until(() => seen.errors.some(({ code }) => code === 'forbidden'), 'the end of it')
  assert.equal(seen.martlet.status.state, 'connected')
})

test('a gap says what is missing', async (t) => {
  const server = await Server.start(t)
  const proxy = await Proxy.start(t, server)
  await namespace(server, 'room', { history: { messages: 5 } })
  const seen = client(t, proxy, { user: 'alice', device: 'd' })
  const room = []
  await seen.martlet.topic('room/1').subscribe((data) => room.push(data)).ready
  await server.say('room/1', 'before')
  await until(() => room.length === 1, 'the first')
  proxy.upgrades = 'refuse'
  proxy.cut()
  for (let number = 0; number < 20; number += 1) await server.say('room/1', number)
  await seen.connected()
  await until(() => room.at(-1) === 19, 'the rest')
  assert.deepEqual(room.slice(1), [15, 16, 17, 18, 19])
  assert.equal(seen.gaps.length, 1)
  assert.equal(seen.gaps[0].reason, 'trimmed')
  assert.equal(seen.gaps[0].topic, 'room/1')
})

test('the next page goes on in a topic where this one ended', async (t) => {
  const server = await Server.start(t)
  await namespace(server, 'room', { history: { messages: 100 } })
  const store = new MemoryStore()
  const first = client(t, server, { user: 'alice', store })
  const room = []
  await first.martlet.topic('room/1').subscribe((data) => room.push(data)).ready
  for (let number = 0; number < 5; number += 1) await server.say('room/1', number)
  await until(() => room.length === 5, 'five')
  await silence(150)
  first.martlet.close()
  await server.say('room/1', 'between')
  const second = client(t, server, { user: 'alice', store })
  await second.martlet.topic('room/1').subscribe((data) => room.push(data)).ready
  await until(() => room.length === 6, 'what came between')
  assert.equal(room[5], 'between')
})

test('a handler that does not keep up lets the connection go, and gets everything', async (t) => {
  const server = await Server.start(t)
  await namespace(server, 'room', { history: { messages: 20_000, bytes: 10_000_000 } })
  const seen = client(t, server, { user: 'alice', device: 'd', transports: ['websocket'] })
  // It waits for a handler that nobody has: that must not keep the topic waiting.
  await server.publish('alice', 'parked')
  const room = []
  let open
  const gate = new Promise((resolve) => { open = resolve })
  await seen.martlet.topic('room/1').subscribe(async (data) => { await gate; room.push(data) }).ready
  const all = [...Array(12_000).keys()]
  for (let from = 0; from < all.length; from += 4_000) {
    await fetch(`${server.url}/v1/topics/room/1`, { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body: all.slice(from, from + 4_000).join('\n') })
  }
  await until(() => seen.errors.some(({ code }) => code === 'too_slow'), 'let go')
  assert.equal(seen.martlet.status.state, 'idle')
  await until(async () => await server.metric('martlet_sessions') === 0, 'its session is over')
  open()
  await until(() => room.length === all.length, 'everything', 30_000)
  assert.deepEqual(room, all)
  assert.equal(seen.martlet.status.state, 'connected')
})

test('history and a retained value are asked for until there is an answer', async (t) => {
  const server = await Server.start(t)
  await namespace(server, 'room', { history: { messages: 100 } })
  await server.say('room/1', 'before')
  await server.ask('POST', '/v1/topics/room/1?retain=true', 'kept')
  let failures = 4
  const failing = async (url, options) => {
    if (`${url}`.includes('/v1/topics/') && failures > 0) { failures -= 1; throw new TypeError('fetch failed') }
    return fetch(url, options)
  }
  const seen = client(t, server, { user: 'alice', device: 'd', transports: ['websocket'], fetch: failing })
  const topic = seen.martlet.topic('room/1')
  await topic.subscribe(() => {}).ready
  const [values, history] = [[], []]
  // The topic is known to the server by now: neither comes by itself.
  await Promise.all([
    topic.subscribe((data) => values.push(data)).ready, topic.subscribe((data) => history.push(data), { since: 'earliest' }).ready,
  ])
  assert.equal(failures, 0)
  assert.deepEqual([values, history], [['kept'], ['before', 'kept']])
  assert.deepEqual(seen.errors, [])
})

import assert from 'node:assert/strict'
import { MemoryStore } from '../martlet.js'
import { client, test, TRANSPORTS } from './support/client.js'
import { Proxy, Server, token, until } from './support/server.js'

const quick = { heartbeat: { least: 1, most: 1, start: 1 } }
const silence = (ms) => new Promise((resolve) => { setTimeout(resolve, ms) })

for (const transport of ['websocket', 'sse']) {
  test(`${transport}: a connection that has died in silence is found by its heartbeats`, async (t) => {
    const server = await Server.start(t)
    const proxy = await Proxy.start(t, server)
    const seen = client(t, proxy, { user: 'alice', device: 'd', transports: [transport], ...quick })
    seen.collect()
    await seen.connected()
    // Heartbeats alone keep it: three intervals, and it is the same session.
    const { session } = seen.martlet.status
    await silence(3_000)
    assert.equal(seen.martlet.status.session, session)
    proxy.isStalled = true
    const began = Date.now()
    const lost = await until(() => seen.statuses.find(({ state }) => state === 'waiting'), 'noticed')
    const took = lost.at - began
    assert.ok(took < 2_600, `noticed after ${took} ms, 1.75 intervals are 1750`)
    proxy.isStalled = false
    await server.publish('alice', 'meanwhile')
    await seen.count(1)
  })

  test(`${transport}: the interval grows while the network lets it through, and is kept`, async (t) => {
    const server = await Server.start(t)
    const store = new MemoryStore()
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport], store, heartbeat: { least: 1, most: 2, start: 1 } })
    await seen.connected()
    assert.equal(seen.martlet.status.heartbeatMs, 1_000)
    await until(() => seen.martlet.status.heartbeatMs === 2_000, 'a longer interval')
    assert.ok(!seen.statuses.some(({ state }) => state === 'waiting'))
    const kept = JSON.parse(store.get(`martlet|${server.url}|alice|d:heartbeat`))
    assert.deepEqual([kept.interval, kept.good, kept.bad], [2, 1, null])
  })
}

test('WebSocket is the first choice; swallowed, SSE stands within two seconds, and it moves up when the way is free', async (t) => {
  const server = await Server.start(t)
  const proxy = await Proxy.start(t, server)
  proxy.upgrades = 'swallow'
  const store = new MemoryStore()
  const began = Date.now()
  const seen = client(t, proxy, { user: 'alice', device: 'd', store, upgradeMs: 3_000 })
  seen.collect()
  await seen.connected('sse')
  const took = Date.now() - began
  assert.ok(took < 2_000, `took ${took} ms`)
  // Remembered: the next page does not wait for it.
  const again = Date.now()
  const next = client(t, proxy, { user: 'alice', device: 'e', store: { get: async (name) => store.get(name.replace('|e:', '|d:')), set() {}, remove() {} } })
  await next.connected('sse')
  assert.ok(Date.now() - again < 1_000)
  for (let number = 0; number < 10; number += 1) await server.publish('alice', number)
  // Tried again and swallowed again: nothing is noticed.
  await silence(4_500)
  assert.equal(seen.martlet.status.transport, 'sse')
  proxy.upgrades = 'pass'
  const feed = setInterval(() => server.publish('alice', 'x').catch(() => {}), 20)
  await seen.connected('websocket').catch(() => seen.connected('websocket'))
  clearInterval(feed)
  await server.publish('alice', 'last')
  await until(() => seen.data.at(-1) === 'last', 'the last')
  assert.equal(new Set(seen.messages.map(({ id }) => id)).size, seen.messages.length)
  assert.deepEqual(seen.data.slice(0, 10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.ok(!seen.statuses.some(({ state }) => state === 'waiting' || state === 'stopped'), JSON.stringify(seen.statuses))
})

test('a refused upgrade falls back at once', async (t) => {
  const server = await Server.start(t)
  const proxy = await Proxy.start(t, server)
  proxy.upgrades = 'refuse'
  const began = Date.now()
  const seen = client(t, proxy, { user: 'alice', device: 'd' })
  await seen.connected('sse')
  assert.ok(Date.now() - began < 1_000)
})

test('a server that is gone for a moment changes no transport; one that breaks off each upgrade does', async (t) => {
  const server = await Server.start(t)
  const proxy = await Proxy.start(t, server)
  const seen = client(t, proxy, { user: 'alice', device: 'd' })
  await seen.connected('websocket')
  // As when it is killed while it answers the handshake.
  proxy.upgrades = 'break once'
  proxy.cut()
  await until(() => proxy.broken === 1, 'a try that breaks off')
  await seen.connected()
  const used = () => new Set(seen.statuses.filter(({ state }) => state === 'connected').map(({ transport }) => transport))
  assert.deepEqual([...used()], ['websocket'])
  proxy.upgrades = 'break'
  proxy.cut()
  await seen.connected('sse')
  assert.equal(proxy.broken, 3)
})

test('a server that was down does not make a swallowed WebSocket hold up the rest', async (t) => {
  const server = await Server.start(t)
  const proxy = await Proxy.start(t, server)
  const seen = client(t, proxy, { user: 'alice', device: 'd' })
  await seen.connected('websocket')
  await server.kill9()
  await until(() => seen.statuses.filter(({ state }) => state === 'waiting').length >= 5, 'tries that fail')
  proxy.upgrades = 'swallow'
  await server.start()
  const began = Date.now()
  await seen.connected('sse')
  const took = Date.now() - began
  assert.ok(took < 4_000, `took ${took} ms`)
})

test('without fetch streams and WebSocket it polls', async (t) => {
  const server = await Server.start(t)
  const seen = client(t, server, {
    user: 'alice', device: 'd', transports: ['sse', 'longpoll'],
    // A proxy that keeps what streams until it ends.
    fetch: async (url, options) => (url.includes('/v1/sse') ? new Promise((_, reject) => { options.signal.addEventListener('abort', () => reject(new Error('aborted'))) }) : fetch(url, options)),
  })
  seen.collect()
  await seen.connected('longpoll')
  await server.publish('alice', 1)
  await seen.count(1)
})

for (const transport of TRANSPORTS) {
  test(`${transport}: who is taken over does not come back by itself`, async (t) => {
    const server = await Server.start(t)
    const first = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    await first.connected()
    if (transport === 'longpoll') await silence(300)
    const second = client(t, server, { user: 'alice', device: 'd', transports: ['websocket'] })
    await second.connected()
    await first.state('stopped')
    assert.equal(first.martlet.status.error.code, 'taken_over')
    assert.match(first.errors[0].message, /device/)
    await silence(3_500)
    assert.equal(first.martlet.status.state, 'stopped')
    assert.equal(second.martlet.status.state, 'connected')
    first.martlet.connect()
    await first.connected()
    await second.state('stopped')
  })

  test(`${transport}: tokens are renewed before they end, and a session outlives several`, async (t) => {
    const server = await Server.start(t, { isDev: false })
    const asked = []
    const seen = client(t, server, {
      device: 'd', transports: [transport], pollWait: 1,
      token: async ({ reason }) => {
        asked.push(reason)
        return token('alice', { exp: Math.floor(Date.now() / 1000) + 4 })
      },
    })
    seen.collect()
    await seen.connected()
    const { session } = seen.martlet.status
    await until(() => asked.length >= 3, 'renewals', 15_000)
    await silence(2_500)
    await server.publish('alice', 'after')
    await seen.count(1)
    assert.equal(asked[0], 'first')
    assert.equal(seen.martlet.status.state, 'connected')
    if (transport !== 'longpoll') {
      assert.equal(seen.martlet.status.session, session)
      assert.ok(asked.slice(1).every((reason) => reason === 'renewal'), asked.join())
    }
    assert.deepEqual(seen.errors, [])
  })

  test(`${transport}: a token that is not good is asked for once more, then it stops and says so`, async (t) => {
    const server = await Server.start(t, { isDev: false })
    const asked = []
    const seen = client(t, server, { device: 'd', transports: [transport], token: ({ reason }) => { asked.push(reason); return 'not.a.token' } })
    await seen.state('stopped')
    assert.deepEqual(asked, ['first', 'rejected'])
    assert.equal(seen.martlet.status.error.code, 'unauthorized')
    assert.match(seen.errors.at(-1).message, /token\(\)/)
    await silence(2_000)
    assert.equal(asked.length, 2)
    // Good ones from now on.
    const cured = client(t, server, {
      device: 'd', transports: [transport],
      token: ({ reason }) => (reason === 'first' ? token('alice', { exp: Math.floor(Date.now() / 1000) - 60, iat: 1 }).replace(/^/, '') : token('alice')),
    })
    await cured.connected()
  })

  test(`${transport}: the back end ends the session`, async (t) => {
    const server = await Server.start(t, { isDev: false })
    const admin = await server.run('key', 'create', '--data', `${server.folder}/data`, '--name', 'admin', '--scope', 'admin').catch(() => server.run('key', 'create', '--data', `${server.folder}/data`, '--scopes', 'admin'))
    const seen = client(t, server, { device: 'd', transports: [transport], token: () => token('alice') })
    await seen.connected()
    if (transport === 'longpoll') await silence(300)
    await until(async () => {
      const answer = await fetch(`${server.url}/v1/users/alice/disconnect`, { method: 'POST', headers: { Authorization: `Bearer ${admin}` } })
      return (await answer.json()).sessions === 1
    }, 'disconnected')
    await seen.state('stopped')
    assert.ok(['disconnected', 'forbidden'].includes(seen.martlet.status.error.code), seen.martlet.status.error.code)
  })

  test(`${transport}: a server that shuts down says when to come back`, async (t) => {
    const server = await Server.start(t)
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    seen.collect()
    await seen.connected()
    if (transport === 'longpoll') await silence(300)
    await server.terminate()
    await seen.state('waiting')
    await server.start()
    await server.publish('alice', 1)
    await seen.count(1)
    assert.deepEqual(seen.errors, [])
  })
}

test('a token function that fails is tried again', async (t) => {
  const server = await Server.start(t, { isDev: false })
  let calls = 0
  const seen = client(t, server, {
    device: 'd',
    token: () => {
      calls += 1
      if (calls < 3) throw new Error('the back end is down')
      return token('alice')
    },
  })
  await seen.connected()
  assert.equal(calls, 3)
  assert.deepEqual(seen.errors.map(({ code }) => code), ['token_failed', 'token_failed'])
})

test('nothing is asked faster than the server allows', async (t) => {
  const server = await Server.start(t)
  let asked = 0
  const seen = client(t, server, {
    user: 'alice', device: 'd', transports: ['sse'], retry: { baseMs: 1, mostMs: 1 },
    fetch: async () => {
      asked += 1
      return new Response(JSON.stringify({ error: { code: 'rate_limited', message: 'Slowly.', retryAfterMs: 400 } }), { status: 429, headers: { 'Content-Type': 'application/json' } })
    },
  })
  await silence(1_100)
  assert.ok(asked >= 2 && asked <= 3, `asked ${asked} times`)
  assert.equal(seen.martlet.status.state, 'waiting')
  assert.equal(seen.martlet.status.error.code, 'rate_limited')
})

test('closed is closed', async (t) => {
  const server = await Server.start(t)
  const seen = client(t, server, { user: 'alice', device: 'd' })
  seen.collect()
  await seen.connected()
  seen.martlet.close()
  assert.equal(seen.martlet.status.state, 'closed')
  await until(async () => await server.metric('martlet_sessions') === 0, 'no session')
  await server.publish('alice', 1)
  await silence(500)
  assert.deepEqual(seen.data, [])
})

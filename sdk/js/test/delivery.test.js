import assert from 'node:assert/strict'
import { MemoryStore } from '../martlet.js'
import { client, test, TRANSPORTS } from './support/client.js'
import { Proxy, Server, until } from './support/server.js'

const numbers = (from, to) => Array.from({ length: to - from }, (_, index) => from + index)

for (const transport of TRANSPORTS) {
  test(`${transport}: everything arrives in order, typed and untyped, large and binary`, async (t) => {
    const server = await Server.start(t)
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    seen.collect()
    const typed = []
    seen.martlet.on('other', (data, message) => typed.push([data, message.type]))
    for (const number of numbers(0, 200)) await server.publish('alice', number)
    await server.ask('POST', '/v1/messages', { to: { user: 'alice' }, type: 'other', data: 'é'.repeat(20_000) })
    await server.ask('POST', '/v1/messages', { to: { user: 'alice' }, dataBase64: 'AP8B', contentType: 'image/x' })
    await seen.count(202)
    assert.deepEqual(seen.data.slice(0, 200), numbers(0, 200))
    assert.deepEqual(typed, [['é'.repeat(20_000), 'other']])
    assert.deepEqual([...seen.data[201]], [0, 255, 1])
    assert.equal(seen.messages[201].contentType, 'image/x')
    assert.deepEqual(seen.errors, [])
  })

  test(`${transport}: acks when the handler's promise has settled, and the next message waits for it`, async (t) => {
    const server = await Server.start(t)
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    const gates = []
    seen.martlet.on('test', (data) => new Promise((resolve) => { gates.push({ data, resolve }) }))
    const [first, second] = [await server.publish('alice', 1), await server.publish('alice', 2)]
    await until(() => gates.length === 1, 'the first call')
    await until(async () => await server.state(first, 'd') === 'sent', 'sent')
    // The server records acks once a second: had it been acked at once, it would be by now.
    await new Promise((resolve) => { setTimeout(resolve, 1_300) })
    assert.equal(await server.state(first, 'd'), 'sent')
    assert.equal(gates.length, 1)
    gates[0].resolve()
    await until(() => gates.length === 2, 'the second call')
    if (transport !== 'longpoll') {
      await until(async () => await server.state(first, 'd') === 'delivered', 'delivered')
      assert.equal(await server.state(second, 'd'), 'sent')
    }
    gates[1].resolve()
    for (const id of [first, second]) await until(async () => await server.state(id, 'd') === 'delivered', 'delivered')
  })

  test(`${transport}: a handler that fails is reported and called again, and then given up`, async (t) => {
    const server = await Server.start(t)
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport], attempts: 3, retryHandlerMs: 20 })
    const calls = []
    seen.martlet.on('test', (data, message) => {
      calls.push([data, Boolean(message.redelivered)])
      if (data === 'once' && calls.filter(([one]) => one === 'once').length === 1) throw new Error('first time')
      if (data === 'never') throw new Error('never')
    })
    const others = []
    seen.martlet.on('*', (data) => { others.push(data) })
    const ids = []
    for (const data of ['once', 'never', 'fine']) ids.push(await server.publish('alice', data))
    for (const id of ids) await until(async () => await server.state(id, 'd') === 'delivered', 'delivered')
    assert.deepEqual(calls.filter(([data]) => data === 'once'), [['once', false], ['once', true]])
    assert.deepEqual(calls.filter(([data]) => data === 'never').length, 3)
    assert.deepEqual(calls.filter(([data]) => data === 'fine'), [['fine', false]])
    // Who had it is not called again.
    assert.deepEqual(others.sort(), ['fine', 'never', 'once'])
    assert.deepEqual(seen.errors.map((error) => [error.code, error.willRetry, error.handled.data]), [
      ['handler_failed', true, 'once'], ['handler_failed', true, 'never'], ['handler_failed', true, 'never'], ['handler_failed', false, 'never'],
    ].sort(() => 0))
  })

  test(`${transport}: goes on after kill -9 of the server, nothing lost, nothing twice`, async (t) => {
    const server = await Server.start(t)
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    seen.collect()
    await server.publish('alice', 0)
    await seen.count(1)
    for (let round = 0; round < 3; round += 1) {
      for (const number of numbers(0, 20)) await server.publish('alice', `${round} a ${number}`)
      await server.kill9()
      await server.start()
      for (const number of numbers(0, 20)) await server.publish('alice', `${round} b ${number}`)
      await seen.count(1 + (round + 1) * 40, 20_000)
    }
    assert.deepEqual(seen.data, [0, ...numbers(0, 3).flatMap((round) => ['a', 'b'].flatMap((part) => numbers(0, 20).map((number) => `${round} ${part} ${number}`)))])
    assert.ok(seen.statuses.some(({ state }) => state === 'waiting'))
  })

  test(`${transport}: the next page goes on where this one ended, handled or not`, async (t) => {
    const server = await Server.start(t)
    const store = new MemoryStore()
    const first = client(t, server, { user: 'alice', transports: [transport], store })
    first.martlet.on('test', (data) => {
      first.data.push(data)
      return data < 3 ? undefined : new Promise(() => {})
    })
    for (const number of numbers(0, 6)) await server.publish('alice', number)
    await first.count(4)
    first.martlet.close()
    const second = client(t, server, { user: 'alice', transports: [transport], store })
    second.collect('test')
    await second.count(3)
    assert.deepEqual(second.data, [3, 4, 5])
    assert.equal(second.martlet.status.device, transport === 'longpoll' ? undefined : first.statuses.find(({ device }) => device).device)
  })

  test(`${transport}: messages wait while nobody handles the inbox, and topics go on`, async (t) => {
    const server = await Server.start(t)
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    await server.ask('PUT', '/v1/namespaces/room', { history: { messages: 10 } })
    const room = []
    const subscription = seen.martlet.topic('room/1').subscribe((data) => room.push(data))
    await subscription.ready
    const id = await server.publish('alice', 'kept')
    await server.say('room/1', 1)
    await server.say('room/1', 2)
    await until(() => room.length === 2, 'the topic')
    assert.notEqual(await server.state(id, 'd'), 'delivered')
    seen.collect('test')
    await seen.count(1)
    assert.deepEqual(seen.data, ['kept'])
    await until(async () => await server.state(id, 'd') === 'delivered', 'delivered')
  })
}

test('duplicates that a lost ack brings are filtered, and acked', async (t) => {
  const server = await Server.start(t)
  const proxy = await Proxy.start(t, server)
  // Without a store nothing but memory knows what was handled.
  const seen = client(t, proxy, { user: 'alice', device: 'd', transports: ['websocket'], heartbeat: { least: 1, most: 1, start: 1 } })
  const gates = []
  seen.martlet.on('test', (data) => new Promise((resolve) => { gates.push({ data, resolve }) }))
  await server.publish('alice', 1)
  await server.publish('alice', 2)
  await until(() => gates.length === 1, 'the first call')
  // The connection goes while the first is being handled: it comes again, and is not handled again.
  proxy.cut()
  await seen.state('waiting')
  await seen.connected('websocket')
  await until(async () => await server.metric('martlet_redeliveries_total') > 0, 'sent again')
  gates[0].resolve()
  await until(() => gates.length === 2, 'the second call')
  gates[1].resolve()
  const last = await server.publish('alice', 3)
  await until(() => gates.length === 3, 'the third call')
  gates[2].resolve()
  await until(async () => await server.state(last, 'd') === 'delivered', 'delivered')
  assert.deepEqual(gates.map(({ data }) => data), [1, 2, 3])
})

test('a cursor of elsewhere is told as a gap, one that is none is forgotten', async (t) => {
  const server = await Server.start(t)
  const other = await Server.start(t)
  const store = new MemoryStore()
  const kept = (text) => JSON.stringify({ cursor: text, done: [] })
  const name = (one) => `martlet|${one.url}|alice|d:cursor`
  const first = client(t, other, { user: 'alice', device: 'd', store })
  first.collect()
  for (let number = 0; number < 5; number += 1) await other.publish('alice', number)
  await first.count(5)
  await until(() => JSON.parse(store.get(name(other)) ?? '{}').cursor, 'a cursor')
  await new Promise((resolve) => { setTimeout(resolve, 150) })
  first.martlet.close()
  store.set(name(server), store.get(name(other)))
  await server.publish('alice', 'here')
  const second = client(t, server, { user: 'alice', device: 'd', store })
  second.collect()
  await second.count(1)
  assert.equal(second.gaps.length > 0, true)
  assert.ok(['epoch', 'beyond_end', 'owner'].includes(second.gaps[0].reason), JSON.stringify(second.gaps))
  second.martlet.close()
  store.set(name(server), kept('nonsense!'))
  const third = client(t, server, { user: 'alice', device: 'd', store })
  third.collect()
  await server.publish('alice', 'there')
  await third.count(1)
  assert.ok(third.data.includes('there'))
  assert.deepEqual(third.gaps, [])
})

test('sse: an ack that hangs while the stream lives is said again', async (t) => {
  const server = await Server.start(t)
  let hung = 0
  const seen = client(t, server, {
    user: 'alice', device: 'd', transports: ['sse'], ackMs: 300,
    // Two connections that no answer comes on.
    fetch: (url, options) => {
      if (!url.includes('/v1/ack') || hung === 2) return fetch(url, options)
      hung += 1
      return new Promise((_, reject) => { options.signal?.addEventListener('abort', () => reject(options.signal.reason)) })
    },
  })
  seen.collect()
  await seen.connected('sse')
  const { session } = seen.martlet.status
  // More than the window takes without an ack.
  const all = numbers(0, 200)
  for (const number of all) await server.publish('alice', number)
  await seen.count(200)
  assert.deepEqual(seen.data, all)
  assert.deepEqual([hung, seen.martlet.status.session], [2, session])
})

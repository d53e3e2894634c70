import assert from 'node:assert/strict'
import { client, test, TRANSPORTS } from './support/client.js'
import { Proxy, Server, until } from './support/server.js'

for (const transport of TRANSPORTS) {
  test(`${transport}: what is published without a connection goes out in order when there is one, once`, async (t) => {
    const server = await Server.start(t)
    const proxy = await Proxy.start(t, server)
    await server.ask('PUT', '/v1/namespaces/room', { history: { messages: 1000 } })
    const seen = client(t, proxy, { user: 'alice', device: 'd', transports: [transport], heartbeat: { least: 1, most: 1, start: 1 } })
    await seen.connected()
    const topic = seen.martlet.topic('room/1')
    const first = topic.publish('first')
    await first
    // They arrive, and the answers do not: nobody knows.
    proxy.isDeaf = true
    const sent = Array.from({ length: 20 }, (_, number) => topic.publish(number))
    await until(async () => (await server.ask('GET', '/v1/topics/room/1')).history.messages > 1, 'arrived')
    proxy.isDeaf = false
    proxy.isStalled = true
    sent.push(...Array.from({ length: 20 }, (_, number) => topic.publish(20 + number)))
    if (transport !== 'longpoll') await until(() => seen.statuses.some(({ state }) => state === 'waiting'), 'the end')
    proxy.isStalled = false
    proxy.cut()
    const ids = (await Promise.all(sent)).map(({ id }) => id)
    assert.equal(new Set(ids).size, 40)
    const { messages } = await topic.history({ limit: 1000 })
    assert.deepEqual(messages.map(({ data }) => data), ['first', ...Array(40).keys()])
  })

  test(`${transport}: everything that can be said of a message, and bytes`, async (t) => {
    const server = await Server.start(t)
    await server.ask('PUT', '/v1/namespaces/room', { history: { messages: 1000 } })
    const seen = client(t, server, { user: 'alice', device: 'd', transports: [transport] })
    const topic = seen.martlet.topic('room/ü 1')
    const [one, two] = await Promise.all([topic.publish(1, { idempotencyKey: 'k', type: 'typé', ttl: 60 }), topic.publish(1, { idempotencyKey: 'k', type: 'typé', ttl: 60 })])
    assert.equal(one.id, two.id)
    assert.equal((await topic.publish(1, { idempotencyKey: 'k', type: 'typé', ttl: 60 })).id, one.id)
    await assert.rejects(topic.publish(2, { idempotencyKey: 'k' }), { code: 'idempotency_conflict' })
    await topic.publish(new Uint8Array([0, 255, 1]), { contentType: 'image/x' })
    await topic.publish(undefined)
    await assert.rejects(topic.publish('x'.repeat(70_000)), { code: 'message_too_large' })
    await assert.rejects(topic.publish(() => {}), TypeError)
    await assert.rejects(seen.martlet.topic('a/#').publish(1), TypeError)
    const { messages } = await topic.history()
    assert.deepEqual(messages.map(({ data, type }) => [data instanceof Uint8Array ? [...data] : data, type]), [[1, 'typé'], [[0, 255, 1], undefined], [null, undefined]])
    assert.equal(messages[1].contentType, 'image/x')
  })
}

test('the queue is bounded, and a publish may have a time', async (t) => {
  const server = await Server.start(t)
  const proxy = await Proxy.start(t, server)
  proxy.isStalled = true
  const seen = client(t, proxy, { user: 'alice', device: 'd', queue: { messages: 3, bytes: 100 } })
  const topic = seen.martlet.topic('room')
  const kept = [topic.publish(1), topic.publish(2)]
  const timed = topic.publish(3, { timeoutMs: 50 })
  await assert.rejects(topic.publish(4), { code: 'queue_full' })
  await assert.rejects(timed, { code: 'timeout' })
  await assert.rejects(topic.publish('x'.repeat(100)), { code: 'queue_full' })
  proxy.isStalled = false
  proxy.cut()
  for (const { id } of await Promise.all(kept)) assert.ok(id)
  // There is room again.
  await Promise.all([topic.publish(5), topic.publish(6), topic.publish(7)])
  const last = topic.publish(8)
  seen.martlet.close()
  await assert.rejects(last, { code: 'closed' })
  await assert.rejects(topic.publish(9), { code: 'closed' })
})

test('what is changed after publishing is not published', async (t) => {
  const server = await Server.start(t)
  await server.ask('PUT', '/v1/namespaces/room', { history: { messages: 10 } })
  const seen = client(t, server, { user: 'alice', device: 'd' })
  const data = { text: 'as it was' }
  const sent = seen.martlet.topic('room').publish(data)
  data.text = 'changed'
  await sent
  assert.deepEqual((await seen.martlet.topic('room').history()).messages[0].data, { text: 'as it was' })
})

test('a server that is short of something is asked again after its time', async (t) => {
  const server = await Server.start(t, { options: ['--limits-publish-rate', '5', '--limits-publish-burst', '5'] }).catch(() => null)
  if (!server) { t.skip('this server has no such limit'); return }
  const seen = client(t, server, { user: 'alice', device: 'd' })
  await seen.connected()
  const ids = await Promise.all(Array.from({ length: 12 }, (_, number) => seen.martlet.topic('room').publish(number)))
  assert.equal(new Set(ids.map(({ id }) => id)).size, 12)
  await until(() => seen.martlet.status.state === 'connected', 'connected')
})

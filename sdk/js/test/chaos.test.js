import assert from 'node:assert/strict'
import { MemoryStore } from '../martlet.js'
import { client, test } from './support/client.js'
import { Proxy, Server, until } from './support/server.js'

const silence = (ms) => new Promise((resolve) => { setTimeout(resolve, ms) })

/** mulberry32: the same numbers for the same seed. */
const dice = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

/** Publishes until the server has said yes, however often it dies; order is that of the calls. */
const publisher = (server, body, path = '/v1/messages') => {
  const accepted = []
  let number = 0
  let isOver = false
  const run = (async () => {
    while (!isOver) {
      const data = number
      number += 1
      const key = `${path} ${data}`
      for (;;) {
        try {
          await server.ask('POST', path, body(data), { 'Idempotency-Key': key })
          break
        } catch { await silence(20) }
      }
      accepted.push(data)
      await silence(3)
    }
  })()
  return { accepted, stop: () => { isOver = true; return run } }
}

const seed = Number(process.env.SEED || Date.now() % 1_000_000)
const seconds = Number(process.env.CHAOS_SECONDS || 12)

test(`a network that cuts, stalls and swallows, a server that is killed, handlers that fail, pages that close (SEED=${seed})`, async (t) => {
  const random = dice(seed)
  const server = await Server.start(t)
  await server.ask('PUT', '/v1/namespaces/room', { history: { messages: 1_000_000, bytes: 100_000_000 }, storage: 'durable' })
  const proxy = await Proxy.start(t, server)
  const store = new MemoryStore()
  const handled = new Map()
  const inbox = []
  const room = []
  const failedOnce = new Set()
  let again = 0
  const problems = []
  let page = null
  const open = () => {
    page = client(t, proxy, { user: 'alice', device: 'd', store, heartbeat: { least: 1, most: 1, start: 1 }, retry: { baseMs: 100, mostMs: 400 }, upgradeMs: 500, pollWait: 1, retryHandlerMs: 20 })
    const own = page
    page.martlet.on('test', async (data, { id }) => {
      if (random() < 0.3) await silence(random() * 10)
      if (random() < 0.02 && !failedOnce.has(id)) {
        failedOnce.add(id)
        throw new Error('on purpose')
      }
      if (handled.has(id)) again += 1
      else inbox.push([data, failedOnce.has(id)])
      handled.set(id, own)
    })
    page.martlet.topic('room/1').subscribe((data) => { room.push(data) })
    page.martlet.onError((error) => { if (error.code !== 'handler_failed') problems.push(error) })
    page.martlet.onGap((gap) => problems.push(gap))
  }
  open()
  await page.connected()
  await silence(100)
  const publishers = [
    publisher(server, (data) => ({ to: { user: 'alice' }, type: 'test', data })),
    publisher(server, (data) => ({ data }), '/v1/topics/room/1'),
  ]
  const transports = new Set()
  let pages = 0
  const ends = Date.now() + seconds * 1_000
  while (Date.now() < ends) {
    const cast = random()
    if (cast < 0.3) proxy.cut()
    else if (cast < 0.4) {
      proxy.isStalled = true
      await silence(random() * 1_500)
      proxy.isStalled = false
      proxy.cut()
    } else if (cast < 0.6) proxy.upgrades = ['pass', 'refuse', 'swallow'][Math.floor(random() * 3)]
    else if (cast < 0.7) {
      await server.kill9()
      await silence(random() * 300)
      await server.start()
    } else if (cast < 0.75) {
      page.martlet.close()
      pages += 1
      await silence(random() * 200)
      open()
    }
    await silence(random() * 800)
    transports.add(page.martlet.status.transport)
  }
  proxy.upgrades = 'pass'
  await Promise.all(publishers.map((one) => one.stop()))
  const [sent, said] = publishers.map(({ accepted }) => accepted)
  await until(() => new Set(inbox.map(([data]) => data)).size === sent.length, `${sent.length} of the inbox, ${new Set(inbox.map(([data]) => data)).size} came`, 35_000)
  await until(() => new Set(room.map(({ data }) => data)).size === said.length, `${said.length} of the room, ${new Set(room.map(({ data }) => data)).size} came`, 35_000)
  const plain = inbox.filter(([, hasFailed]) => !hasFailed).map(([data]) => data)
  assert.deepEqual(plain, [...plain].sort((a, b) => a - b), 'the order of the inbox')
  const first = [...new Set(room.map(({ data }) => data))]
  assert.deepEqual(first, said, 'the order of the room')
  // Only a page that closed in the middle of handling may have had something that comes again.
  assert.ok(again <= pages, `${again} came again with ${pages} pages closed`)
  assert.deepEqual(problems, [])
  t.diagnostic(`${sent.length} and ${said.length} messages, ${failedOnce.size} failures, ${pages} pages, ${[...transports].join(', ')}`)
})

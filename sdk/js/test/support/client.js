/** Clients of a test, closed after it; and what they received. */
import runner from 'node:test'
import { Martlet, MemoryStore } from '../../martlet.js'
import { NodeWebSocket } from '../../websocket-node.js'
import { until } from './server.js'

/** One that hangs ends. */
export const test = (name, work) => runner(name, { timeout: 60_000 }, work)

/** Those that Node has. */
export const TRANSPORTS = ['websocket', 'sse', 'longpoll']

export const client = (test, server, options = {}) => {
  const martlet = new Martlet({
    url: server.url, WebSocket: NodeWebSocket, store: new MemoryStore(), retry: { baseMs: 200, mostMs: 500 }, ...options,
  })
  const seen = { martlet, data: [], messages: [], statuses: [], gaps: [], errors: [] }
  martlet.onStatus((status) => seen.statuses.push({ ...status, at: Date.now() }))
  martlet.onGap((gap) => seen.gaps.push(gap))
  martlet.onError((error) => seen.errors.push(error))
  seen.collect = (type = '*') => martlet.on(type, (data, message) => { seen.data.push(data); seen.messages.push(message) })
  seen.connected = (transport) => until(() => martlet.status.state === 'connected' && (!transport || martlet.status.transport === transport), `connected by ${transport ?? 'anything'}: ${JSON.stringify(martlet.status)}`)
  seen.state = (state, ms) => until(() => martlet.status.state === state, `${state}`, ms)
  seen.count = (count, ms) => until(() => seen.data.length >= count, `${count} messages`, ms)
  test.after(() => martlet.close())
  return seen
}

/**
 * The client of a Martlet server, for browsers and Node 20: one ES module, no dependencies, no build step.
 *
 *     import { Martlet } from '/martlet.js'
 *     const martlet = new Martlet({ token: () => fetch('/token').then((answer) => answer.text()) })
 *     martlet.on('trip.updated', (trip) => show(trip))
 *
 * Sections: errors · small things · stores · tokens and HTTP · transports · heartbeat and pauses · Link (one live connection)
 * · Engine (what is delivered to whom, and acked when) · Martlet and Topic (what a page uses).
 * It is one file because a page loads it in one request, without a bundler; types are in martlet.d.ts, the guide in docs/javascript.md.
 */

// ---------------------------------------------------------------- Errors

const HINTS = {
  unauthorized: 'Check that token() returns a token that this server can check and that has not ended; in dev mode give a user instead.',
  token_expired: 'Let token() return a new token each time it is called.',
  forbidden: 'The token or the namespace does not allow it: see "What a token says of topics" in docs/protocol.md.',
  taken_over: 'Another session uses the same device. Give each browser a device of its own (leave "device" out), then call connect().',
  disconnected: 'The back end ended the session. Sign in again, then call connect().',
  unreachable: 'Check the url, and that the server runs; the client keeps trying by itself.',
  queue_full: 'Wait for earlier publishes to settle, or raise the "queue" option.',
  timeout: 'It may or may not have arrived. Publishing again with the same idempotencyKey is harmless.',
  token_failed: 'token() threw, or returned nothing: it must return a token, or a promise of one.',
  too_many_topics: 'Unsubscribe from some, or use a filter such as room/+.',
}

/** Says what went wrong (`code`, as in docs/protocol.md), and in its message what to do. */
export class MartletError extends Error {
  constructor(code, message, more = {}) {
    const { cause, ...rest } = more
    const hint = HINTS[code]
    super(hint && !message.includes(hint) ? `${message} ${hint}` : message, cause === undefined ? undefined : { cause })
    this.name = 'MartletError'
    this.code = code
    Object.assign(this, rest)
  }

  static from(body, status) {
    const { code, message, ...rest } = body
    return new MartletError(String(code), String(message ?? code), { ...rest, status, fromServer: true })
  }
}

/** Codes after which the same thing may succeed later. */
const TEMPORARY = new Set([
  'too_many_sessions', 'too_many_connections', 'rate_limited', 'request_timeout', 'internal_error', 'store_unavailable',
  'keys_unavailable', 'draining',
])
const OF_TOKENS = new Set(['unauthorized', 'token_expired'])

// ---------------------------------------------------------------- Small things

const query = (values) => {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== null)
  return new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString()
}

/** Within the list a comma ends a name. */
const topicList = (topics) => topics.map((topic) => topic.replace(/%/g, '%25').replace(/,/g, '%2C')).join(',')

/** A topic whose last level is the name of a question is asked for with its slashes encoded. */
export const topicPath = (topic, action = '') => {
  const levels = topic.split('/').map(encodeURIComponent)
  const asked = /\/(history|presence|retained)$/.test(topic)
  return `/v1/topics/${levels.join(asked ? '%2F' : '/')}${action && `/${action}`}`
}

/** Whether a filter (`+`, `#`) matches a topic. */
export const matches = (filter, topic) => {
  if (filter === topic) return true
  const wanted = filter.split('/')
  const levels = topic.split('/')
  if (/^[+#]/.test(filter) && topic.startsWith('$')) return false
  for (let index = 0; index < wanted.length; index += 1) {
    if (wanted[index] === '#') return true
    if (index >= levels.length || (wanted[index] !== '+' && wanted[index] !== levels[index])) return false
  }
  return wanted.length === levels.length
}

const hasWildcard = (filter) => filter.split('/').some((level) => level === '+' || level === '#')

/** randomUUID is there only on secure pages. */
const randomId = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0))

/** The claims of a JWT, unchecked: only the server can. `{}` if it is none. */
export const claims = (token) => {
  try {
    const part = String(token).split('.')[1].replace(/-/g, '+').replace(/_/g, '/')
    const value = JSON.parse(new TextDecoder().decode(fromBase64(part)))
    return value && typeof value === 'object' ? value : {}
  } catch {
    return {}
  }
}

/** The last ids that were seen, up to a number of them. */
export class Recent {
  #ids
  constructor(most, ids = []) {
    this.most = most
    this.#ids = new Set(ids)
  }
  has(id) { return this.#ids.has(id) }
  add(id) {
    this.#ids.add(id)
    if (this.#ids.size > this.most) this.#ids.delete(this.#ids.values().next().value)
  }
  remove(id) { this.#ids.delete(id) }
  get size() { return this.#ids.size }
}

/** Ids that are kept beside a cursor. */
const AHEAD_MOST = 256

/**
 * What arrived in one session, in order, and what of it was handled.
 * `cursor` is the place up to which everything was.
 */
export class Ledger {
  #entries = []
  /** Ids that were handled since the cursor moved: not every message has one. */
  #since = []
  constructor(cursor = '') { this.cursor = cursor }
  add(cursor, id) {
    const entry = { cursor, id, done: false, ledger: this }
    this.#entries.push(entry)
    return entry
  }
  /** Whether the cursor moved. */
  done(entry) {
    entry.done = true
    const before = this.cursor
    let count = 0
    while (count < this.#entries.length && this.#entries[count].done) {
      const { cursor, id } = this.#entries[count]
      if (cursor) {
        this.cursor = cursor
        this.#since = []
      } else if (id) {
        this.#since.push(id)
        if (this.#since.length > AHEAD_MOST) this.#since.shift()
      }
      count += 1
    }
    this.#entries.splice(0, count)
    return this.cursor !== before
  }
  /** Ids that were handled and lie after the cursor. */
  get ahead() { return [...this.#since, ...this.#entries.filter((entry) => entry.done && entry.id).map((entry) => entry.id)].slice(-AHEAD_MOST) }
  get size() { return this.#entries.length }
}

/** A set of functions; each failure is told to the console, and the others run. */
class Listeners {
  #all = new Set()
  add(listener) {
    if (typeof listener !== 'function') throw new TypeError('Give a function.')
    const own = (...values) => listener(...values)
    this.#all.add(own)
    return () => { this.#all.delete(own) }
  }
  get size() { return this.#all.size }
  tell(...values) {
    for (const listener of [...this.#all]) {
      try { listener(...values) } catch (error) { console.error('A listener of Martlet failed:', error) }
    }
  }
}

// ---------------------------------------------------------------- Stores

/** Keeps nothing beyond the page or process. */
export class MemoryStore {
  #values = new Map()
  get(name) { return this.#values.get(name) ?? null }
  set(name, value) { this.#values.set(name, value) }
  remove(name) { this.#values.delete(name) }
}

/** `localStorage`. Throws where there is none. */
export class LocalStore {
  constructor(storage = globalThis.localStorage) {
    this.storage = storage
    storage.setItem('martlet', '')
    storage.removeItem('martlet')
  }
  get(name) { return this.storage.getItem(name) }
  set(name, value) { try { this.storage.setItem(name, value) } catch { /* full: the server remembers what was acked */ } }
  remove(name) { this.storage.removeItem(name) }
}

/** IndexedDB, for workers, which have no `localStorage`. */
export class IndexedStore {
  #opened
  constructor(factory = globalThis.indexedDB) {
    if (!factory) throw new Error('There is no IndexedDB here.')
    this.factory = factory
  }
  #database() {
    this.#opened ??= new Promise((resolve, reject) => {
      const request = this.factory.open('martlet', 1)
      request.onupgradeneeded = () => request.result.createObjectStore('values')
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
    return this.#opened
  }
  async #run(mode, work) {
    const database = await this.#database()
    return new Promise((resolve, reject) => {
      const request = work(database.transaction('values', mode).objectStore('values'))
      request.onsuccess = () => resolve(request.result ?? null)
      request.onerror = () => reject(request.error)
    })
  }
  get(name) { return this.#run('readonly', (values) => values.get(name)) }
  set(name, value) { return this.#run('readwrite', (values) => values.put(value, name)) }
  remove(name) { return this.#run('readwrite', (values) => values.delete(name)) }
}

const bestStore = () => {
  for (const Store of [LocalStore, IndexedStore]) {
    try { return new Store() } catch { /* not here, or the user forbids it */ }
  }
  return new MemoryStore()
}

/** A store with the names of one user on one server, which never fails. */
class Shelf {
  constructor(store, prefix) { Object.assign(this, { store, prefix }) }
  async read(name) {
    try {
      const text = await this.store.get(`${this.prefix}:${name}`)
      return text ? JSON.parse(text) : null
    } catch { return null }
  }
  write(name, value) {
    try { Promise.resolve(this.store.set(`${this.prefix}:${name}`, JSON.stringify(value))).catch(() => {}) } catch { /* as above */ }
  }
}

// ---------------------------------------------------------------- Tokens and HTTP

/** The token, asked for once however many want it. */
class Tokens {
  #asking = null
  constructor(source) {
    this.source = source
    this.current = null
  }
  get isUsed() { return this.source !== undefined && this.source !== null }

  /** The token at hand; a new one if there is none, or if its time is over by this machine's clock. */
  async get() {
    if (!this.isUsed) return null
    const ends = this.current && claims(this.current).exp
    if (this.current && !(ends && ends * 1000 < Date.now() + 1000)) return this.current
    return this.renew(this.current ? 'expired' : 'first')
  }

  renew(reason) {
    this.#asking ??= this.#ask(reason).finally(() => { this.#asking = null })
    return this.#asking
  }

  async #ask(reason) {
    let token
    try {
      token = typeof this.source === 'function' ? await this.source({ reason }) : this.source
    } catch (cause) {
      throw new MartletError('token_failed', `token() failed: ${cause?.message ?? cause}.`, { cause, isTemporary: true })
    }
    if (typeof token !== 'string' || !token.trim()) throw new MartletError('token_failed', 'token() returned no token.')
    this.current = token.trim()
    return this.current
  }
}

/** The server's answer over HTTP as JSON. Throws a `MartletError`: `unreachable` if there was none. */
class Http {
  constructor(config, tokens) { Object.assign(this, { config, tokens }) }

  /** @param more `query`, `body`, `contentType`, `signal`, `token`, `keepalive`. */
  async once(method, path, more = {}) {
    const headers = {}
    if (more.token) headers.Authorization = `Bearer ${more.token}`
    if (more.contentType) headers['Content-Type'] = more.contentType
    if (more.accept) headers.Accept = more.accept
    const asked = query(more.query ?? {})
    let answer
    try {
      answer = await this.config.fetch(`${this.config.base}${path}${asked && `?${asked}`}`, {
        method, headers, body: more.body, signal: more.signal, keepalive: more.keepalive, cache: 'no-store',
        credentials: this.config.credentials,
      })
    } catch (cause) {
      if (more.signal?.aborted) throw cause
      throw new MartletError('unreachable', `${this.config.base} did not answer.`, { cause, isNetwork: true, isTemporary: true })
    }
    if (answer.ok || answer.status === 304) return answer
    throw await Http.refusal(answer)
  }

  static async refusal(answer) {
    const after = Number(answer.headers.get('Retry-After')) * 1000 || undefined
    try {
      const body = await answer.json()
      if (body?.error?.code) return MartletError.from({ retryAfterMs: after, ...body.error }, answer.status)
    } catch { /* not ours: something in between answered */ }
    return new MartletError('unreachable', `Something that is not Martlet answered ${answer.status}.`, {
      status: answer.status, retryAfterMs: after, isTemporary: true, isForeign: true,
    })
  }

  /** With the token, and once more with a new one if that is not good any more. */
  async json(method, path, more = {}) {
    const ask = async () => {
      const answer = await this.once(method, path, { ...more, token: await this.tokens.get() })
      return answer.status === 204 ? null : answer.json()
    }
    try {
      return await ask()
    } catch (error) {
      if (!OF_TOKENS.has(error.code) || !this.tokens.isUsed) throw error
      await this.tokens.renew('rejected')
      return ask()
    }
  }
}

// ---------------------------------------------------------------- Transports

/** Events of a `text/event-stream` (WHATWG HTML §9.2.6), fed in any pieces. */
export class EventStreamParser {
  #buffer = ''
  #data = []
  #type = ''
  #id = ''
  #isFirst = true
  #skipLineFeed = false
  constructor(onEvent) { this.onEvent = onEvent }

  feed(text) {
    if (this.#isFirst && text) {
      this.#isFirst = false
      if (text.startsWith('\uFEFF')) text = text.slice(1)
    }
    this.#buffer += text
    let start = 0
    for (let index = 0; index < this.#buffer.length; index += 1) {
      const character = this.#buffer[index]
      if (character !== '\n' && character !== '\r') { this.#skipLineFeed = false; continue }
      if (character === '\n' && this.#skipLineFeed) {
        this.#skipLineFeed = false
        start = index + 1
        continue
      }
      this.#skipLineFeed = character === '\r'
      this.#line(this.#buffer.slice(start, index))
      start = index + 1
    }
    this.#buffer = this.#buffer.slice(start)
  }

  #line(line) {
    if (line === '') {
      if (this.#data.length) this.onEvent({ type: this.#type || 'message', data: this.#data.join('\n'), id: this.#id })
      this.#data = []
      this.#type = ''
      return
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') this.#data.push(value)
    else if (field === 'event') this.#type = value
    else if (field === 'id' && !value.includes('\0')) this.#id = value
  }
}

/**
 * What all transports share: `start()` opens a session with `session.query()` and tells `session.on` of what comes, last `end`.
 * `end` has `code` and `reason` of a close, or `error`; with neither nothing is known but that the path does not work.
 */
class Transport {
  isOver = false
  constructor(session) { this.session = session }
  get config() { return this.session.config }
  tell(name, ...values) { if (!this.isOver) this.session.on[name](...values) }
  end(how = {}) {
    if (this.isOver) return
    this.close()
    this.session.on.end(how)
  }
  close() {
    this.isOver = true
    this.stop()
  }
  frame(name, content, cursor) {
    switch (name) {
      case 'welcome': return this.tell('welcome', content, content.cursor ?? cursor)
      case 'message': return this.tell('message', content, content.cursor ?? cursor)
      case 'gap': case 'presence': case 'subscribed': case 'unsubscribed': case 'published': case 'drain': case 'error': case 'renewed':
        return this.tell(name, content, cursor)
      default: return undefined  // pong, hb, and what a later server may say
    }
  }
}

class WebSocketTransport extends Transport {
  static isHere(config) { return Boolean(config.WebSocket) }
  sendsFrames = true

  start() {
    let socket
    try {
      socket = this.socket = new this.config.WebSocket(`${this.config.base.replace(/^http/, 'ws')}/v1/ws?${query(this.session.query())}`)
    } catch (cause) {
      return this.end({ error: new MartletError('unreachable', `A WebSocket cannot be opened: ${cause.message}.`, { cause, isTemporary: true }) })
    }
    // Not in the URL: that ends up in the logs of proxies.
    socket.onopen = () => { if (this.session.token) this.send({ token: this.session.token }) }
    socket.onmessage = (event) => this.#received(event.data)
    socket.onerror = () => {}
    socket.onclose = (event) => this.end({ code: event.code, reason: event.reason, error: this.refusal, isNetwork: event.code === 1006 })
    return undefined
  }

  #received(text) {
    let frame
    try { frame = JSON.parse(text) } catch { return }
    const [name] = Object.keys(frame)
    this.tell('heard', name === undefined)
    if (name === undefined) return this.send({})
    // One that is the answer to a request leaves the connection open.
    if (name === 'error' && frame.error.topic === undefined && frame.error.ref === undefined) this.refusal = MartletError.from(frame.error)
    this.frame(name, frame[name])
  }

  send(frame) {
    if (this.socket?.readyState !== 1) return false
    this.socket.send(JSON.stringify(frame))
    return true
  }
  ack(seqs) { this.send({ ack: seqs }) }
  ping() { return this.send({ ping: 1 }) }
  async renew(token) { this.send({ token }) }
  stop() {
    const { socket } = this
    if (!socket) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.onerror = () => {}
    try { socket.close(1000) } catch { /* it was never open */ }
  }
}

/** What SSE over `fetch` and over `EventSource` share: acks and new tokens go by requests of their own. */
class EventTransport extends Transport {
  #acks = []
  #isAcking = false

  query() { return { ...this.session.query() } }

  event({ type, data, id }) {
    let content
    try { content = data ? JSON.parse(data) : {} } catch { return }
    if (type === 'close') this.end({ code: content.code, reason: content.reason })
    else this.frame(type, content, id)
  }

  ack(seqs) {
    this.#acks.push(...seqs)
    if (!this.#isAcking) this.#ackNow()
  }

  async #ackNow() {
    this.#isAcking = true
    while (this.#acks.length && !this.isOver) {
      const seqs = this.#acks.splice(0)
      // The stream may live while another connection hangs.
      const aborter = new AbortController()
      const timer = setTimeout(() => aborter.abort(), this.config.ackMs)
      try {
        await this.session.http.json('POST', '/v1/ack', {
          query: this.session.who(), body: JSON.stringify({ session: this.session.id, ack: seqs }), contentType: 'application/json',
          keepalive: true, signal: aborter.signal,
        })
      } catch (error) {
        // Refused, the session is over, and the next one presents a cursor. An answer that broke off is no refusal.
        if (this.isOver || (error instanceof MartletError && !error.isTemporary && !TEMPORARY.has(error.code))) break
        this.#acks.unshift(...seqs)
        await new Promise((resolve) => { setTimeout(resolve, error.retryAfterMs ?? 500) })
      } finally {
        clearTimeout(timer)
      }
    }
    this.#isAcking = false
  }

  async renew(token) {
    await this.session.http.once('POST', `/v1/sessions/${encodeURIComponent(this.session.id)}/token`, { query: this.session.who(), token })
    const ends = claims(token).exp
    this.tell('renewed', ends ? { expiresAt: ends * 1000 } : {})
  }
}

/** SSE read from `fetch`: the token goes in a header, and a refusal can be read. */
class StreamTransport extends EventTransport {
  static isHere(config) { return Boolean(config.fetch) && typeof ReadableStream === 'function' && typeof TextDecoder === 'function' }

  async start() {
    this.aborter = new AbortController()
    try {
      const answer = await this.session.http.once('GET', '/v1/sse', {
        query: this.query(), token: this.session.token, accept: 'text/event-stream', signal: this.aborter.signal,
      })
      if (!answer.headers.get('Content-Type')?.startsWith('text/event-stream') || !answer.body) {
        throw new MartletError('unreachable', 'Something between here and the server answered in its place.', { isForeign: true })
      }
      const parser = new EventStreamParser((event) => {
        if (this.isOver) return
        this.tell('heard', event.type === 'hb')
        this.event(event)
      })
      const reader = answer.body.getReader()
      const decoder = new TextDecoder()
      for (;;) {
        const { value, done } = await reader.read()
        if (this.isOver) return
        if (done) break
        this.tell('heard', null)
        parser.feed(decoder.decode(value, { stream: true }))
      }
      this.end({ isNetwork: true })
    } catch (error) {
      this.end(error instanceof MartletError ? { error } : { isNetwork: true })
    }
  }

  stop() { this.aborter?.abort() }
}

/** SSE where `fetch` gives no streams. */
class EventSourceTransport extends EventTransport {
  static isHere(config) { return Boolean(config.EventSource) }

  start() {
    const asked = query({ ...this.query(), token: this.session.token ?? undefined })
    const source = this.source = new this.config.EventSource(`${this.config.base}/v1/sse?${asked}`, {
      withCredentials: this.config.credentials === 'include',
    })
    for (const type of ['welcome', 'message', 'gap', 'presence', 'unsubscribed', 'drain', 'close', 'hb']) {
      source.addEventListener(type, (event) => {
        this.tell('heard', type === 'hb')
        this.event({ type, data: event.data, id: event.lastEventId })
      })
    }
    // It would come back by itself, but not by our rules.
    source.onerror = () => this.end({ isNetwork: true })
  }

  stop() { this.source?.close() }
}

/** Long poll: the next request, which acks, goes out when all of the last answer was handled. */
class PollTransport extends Transport {
  static isHere(config) { return Boolean(config.fetch) }

  async start() {
    this.aborter = new AbortController()
    let wait = 0
    let isFirst = true
    try {
      for (;;) {
        const began = Date.now()
        const asked = { ...this.session.query(), hb: undefined, heartbeat: undefined, ack: undefined, window: undefined, wait }
        const answer = await this.#within((wait + 10) * 1000, (signal) => this.ask(asked, signal))
        if (this.isOver) return
        if (answer.takenOver) return this.end({ code: 4500, reason: 'taken over' })
        if (isFirst) this.tell('welcome', { heartbeatMs: 60_000, serverTime: undefined, topics: undefined }, undefined)
        isFirst = false
        this.tell('heard', false)
        for (const gap of answer.gaps ?? []) this.tell('gap', gap)
        for (const event of answer.presence ?? []) this.tell('presence', event)
        for (const message of answer.messages ?? []) this.tell('message', message, undefined)
        if (!answer.live) this.tell('position', answer.cursor)
        const { isParked } = await this.session.handled()
        if (this.isOver) return
        // What nobody handles yet would come again at once.
        if (isParked || (wait > 0 && !answer.messages?.length && Date.now() - began < 200)) {
          await new Promise((resolve) => { setTimeout(resolve, 1000) })
          if (this.isOver) return
        }
        wait = this.config.pollWait
      }
    } catch (error) {
      return this.end(error instanceof MartletError ? { error } : { isNetwork: true })
    }
  }

  async #within(ms, work) {
    const timer = setTimeout(() => this.aborter.abort(), ms)
    try { return await work(this.aborter.signal) } finally { clearTimeout(timer) }
  }

  async ask(asked, signal) {
    const token = await this.session.tokens.get()
    const answer = await this.session.http.once('GET', '/v1/poll', { query: asked, token, signal })
    return answer.json()
  }

  ack() {}
  async renew() { this.tell('renewed', {}) }
  stop() { this.aborter?.abort() }
}

/** Long poll by script tags, for where nothing else gets through to another origin. */
class ScriptTransport extends PollTransport {
  static #count = 0
  static isHere(config) { return Boolean(config.document?.createElement) }

  async ask(asked, signal) {
    const token = await this.session.tokens.get()
    const name = `__martlet_${ScriptTransport.#count += 1}`
    const { document } = this.config
    const script = document.createElement('script')
    // With a low one browsers hold it back while other streams of the page are open.
    script.fetchPriority = 'high'
    try {
      const answer = await new Promise((resolve, reject) => {
        const fail = () => reject(new MartletError('unreachable', `${this.config.base} did not answer.`, { isNetwork: true, isTemporary: true }))
        globalThis[name] = resolve
        script.onerror = fail
        // Runs after the script did: there was something else in it.
        script.onload = () => setTimeout(fail)
        signal.addEventListener('abort', fail)
        script.src = `${this.config.base}/v1/poll?${query({ ...asked, token: token ?? undefined, callback: name })}`
        document.head.append(script)
      })
      if (answer?.error) throw MartletError.from(answer.error)
      return answer
    } finally {
      script.remove()
      // One that was given up may still run.
      globalThis[name] = () => {}
      setTimeout(() => { delete globalThis[name] }, 120_000)?.unref?.()
    }
  }
}

const TRANSPORTS = {
  websocket: { Type: WebSocketTransport, timeoutMs: 1_800 },
  sse: { Type: StreamTransport, timeoutMs: 4_000 },
  eventsource: { Type: EventSourceTransport, timeoutMs: 4_000 },
  longpoll: { Type: PollTransport, timeoutMs: 8_000 },
  jsonp: { Type: ScriptTransport, timeoutMs: 8_000 },
}

// ---------------------------------------------------------------- Heartbeat and pauses

/** Full jitter: anything from nothing to a bound that doubles. */
export const pause = (failures, { baseMs = 1_000, mostMs = 30_000 } = {}, random = Math.random) =>
  random() * Math.min(mostMs, baseMs * 2 ** Math.min(failures, 20))

const DAY_MS = 86_400_000

/**
 * Finds the longest heartbeat interval, in seconds, that the network between here and the server lets through:
 * half as long again after each that held, halfway back after one that did not.
 */
export class HeartbeatTuner {
  constructor({ least = 10, most = 120, start = 25 } = {}, saved = null, now = Date.now()) {
    Object.assign(this, { least, most })
    const isFresh = saved && now - saved.at < DAY_MS
    this.good = Math.min(saved?.good ?? 0, most)
    this.bad = isFresh && saved.bad ? saved.bad : Infinity
    this.interval = Math.min(most, Math.max(least, saved?.interval ?? start))
  }
  /** A connection with this interval was quiet for some of them, and lived. */
  held(seconds) {
    this.good = Math.max(this.good, Math.min(seconds, this.most))
    if (this.bad <= this.good) this.bad = Infinity
    if (this.bad === Infinity) this.interval = Math.min(this.most, Math.round(this.good * 1.5))
    else this.interval = this.bad - this.good > 4 ? Math.floor((this.good + this.bad) / 2) : this.good
    this.interval = Math.max(this.least, this.interval)
  }
  /** A connection with this interval died in silence, and a new one stood at once: the network itself was there. */
  died(seconds) {
    this.bad = Math.min(this.bad, seconds)
    if (this.good >= this.bad) this.good = 0
    this.interval = Math.max(this.least, Math.min(this.interval, Math.floor((Math.max(this.good, this.least) + this.bad) / 2)))
  }
  saved(now = Date.now()) {
    return { interval: this.interval, good: this.good, bad: this.bad === Infinity ? null : this.bad, at: now }
  }
}

/** Heartbeats of a quiet connection after which its interval counts as held. */
const QUIET_BEATS = 3
/** The pauses between tries of a better transport. */
const UPGRADE = { baseMs: 60_000, mostMs: 1_800_000 }
/** How late a request that was given up may come to the server, and its answer be heard. */
const LATE_MS = 5_000
/** A transport whose connections die this soon, this often, is left alone for a while. */
const SHORT = { lifeMs: 8_000, most: 3, leftAloneMs: 300_000 }
const TIMER_MOST_MS = 2_000_000_000

/**
 * One live connection at a time: picks the transport, presents the cursor, comes back, renews the token.
 *
 * `host` (the Engine) has `resume()`, `topics()`, `opened(welcome, …)`, `message`, `gap`, `presence`, `subscribed`, `unsubscribed`,
 * `published`, `refusedFrame`, `position`, `handled`, `status`, `problem`, `forgetCursor`, `isIdle`.
 */
class Link {
  status = { state: 'idle' }
  #transport = null
  /** Whether the transport was welcomed. */
  #isReady = false
  #probe = null
  #round = 0
  #restartedAt = 0
  #failures = 0
  #upgrades = 0
  #authFailures = 0
  /** What was welcomed last by this page, and how often in a row it broke off since, before it was. */
  #proven = null
  #breaks = 0
  /** Rounds in a row that ended because nothing answered in time: on a slow network everything takes longer. */
  #slowRounds = 0
  #triedAt = 0
  #isAskedToWait = false
  #drainMs = undefined
  #lastHeard = 0
  #silenceMs = 0
  #pingedUntil = 0
  #retryAt = 0
  #quietBeats = 0
  #suspect = null
  #timers = {}
  #shortLives = new Map()
  #leftAlone = new Map()
  /** The topics of the URL may not be allowed any more: each is asked for by itself. */
  #isTopicsDoubted = false

  constructor(config, tokens, http, shelf, host, { path, heartbeat, device }) {
    Object.assign(this, { config, tokens, http, shelf, host, device })
    this.tuner = new HeartbeatTuner(config.heartbeat, heartbeat)
    const known = path && Date.now() - path.at < DAY_MS ? path.transport : null
    this.available = config.transports.filter((name) => TRANSPORTS[name].Type.isHere(config))
    this.preferred = this.available.includes(known) ? known : null
  }

  get isOpen() { return this.status.state === 'connected' && this.#isReady }
  get sendsFrames() { return this.isOpen && Boolean(this.#transport?.sendsFrames) }
  /** The server's time, in milliseconds, as far as it is known. */
  get serverTime() { return Date.now() + (this.skew ?? 0) }

  start() {
    if (['connecting', 'connected'].includes(this.status.state)) return
    if (!this.available.length) return this.#stop(new MartletError('unreachable', 'None of the transports asked for works here.'))
    this.#failures = this.#authFailures = 0
    this.#connect()
  }

  stop(state = 'closed', error = undefined) {
    this.#round += 1
    this.#dropTransport()
    for (const name of Object.keys(this.#timers)) this.#clear(name)
    this.#say({ state, error })
  }

  #stop(error) { this.stop('stopped', error) }

  /** Opens a new session in the place of this one, by the same transport; says nothing of it if it works. */
  restart() {
    if (this.status.state !== 'connected') return
    this.#clear('restart')
    this.#round += 1
    this.#restartedAt = Date.now()
    const name = this.status.transport
    this.#dropTransport()
    this.#connect(name)
  }

  restartSoon() { if (!this.#timers.restart) this.#after('restart', 20, () => this.restart()) }

  send(frame) { return this.#transport?.send?.(frame) ?? false }
  ack(seqs) { this.#transport?.ack(seqs) }

  // ------------------------------------------------ what the network and the page say

  /** Does what is due; called by timers, which browsers slow down in hidden tabs, and by visible tabs. */
  check() {
    const now = Date.now()
    if (this.status.state === 'waiting') {
      // A timer may be a moment early.
      if (now < this.#retryAt) this.#after('retry', this.#retryAt - now, () => this.check())
      else this.#connect()
      return undefined
    }
    if (!this.isOpen || !this.#silenceMs) return undefined
    const until = Math.min(this.#lastHeard + this.#silenceMs, this.#pingedUntil || Infinity)
    if (now >= until) return this.#died()
    this.#after('silence', until - now, () => this.check())
    return undefined
  }

  /** Something changed: the page is looked at again, the network came or went. */
  wake({ isOnline = false } = {}) {
    if (this.status.state === 'waiting') {
      if (isOnline) this.#failures = this.#slowRounds = 0
      // The server asked for a pause, or this was tried just now: keep to it.
      if (!this.#isAskedToWait && Date.now() - this.#triedAt > 1_000) this.#connect()
      return
    }
    if (this.status.state === 'connecting' && isOnline && Date.now() - this.#triedAt > 1_000) {
      // What was begun without a network may not notice that there is one.
      this.#failures = this.#slowRounds = 0
      this.#connect()
    }
    if (!this.isOpen) return
    if (this.#transport.ping?.()) {
      this.#pingedUntil ||= Date.now() + 5_000
      this.check()
    } else if (isOnline || (this.#silenceMs && Date.now() - this.#lastHeard > this.#silenceMs / 1.5)) {
      this.restart()
    }
  }

  #heard(isBeat) {
    this.#lastHeard = Date.now()
    this.#pingedUntil = 0
    if (isBeat === null) return
    if (!isBeat) { this.#quietBeats = 0; return }
    this.#quietBeats += 1
    if (this.#quietBeats !== QUIET_BEATS) return
    const before = this.tuner.interval
    this.tuner.held(this.heartbeatMs / 1_000)
    this.#save()
    // Nothing has come for a while: nobody notices a new session with the longer interval.
    if (this.tuner.interval > before && this.host.isIdle) this.restart()
  }

  #died() {
    this.#suspect = { seconds: this.heartbeatMs / 1_000, at: Date.now(), isSilent: !this.#pingedUntil }
    this.#lost({ isSilent: true })
  }

  #save() {
    this.shelf.write('heartbeat', this.tuner.saved())
    if (this.preferred) this.shelf.write('path', { transport: this.preferred, at: Date.now() })
  }

  // ------------------------------------------------ connecting

  #order() {
    const now = Date.now()
    const usable = this.available.filter((name) => !(this.#leftAlone.get(name) > now))
    const all = usable.length ? usable : this.available
    const at = all.indexOf(this.preferred)
    return at > 0 ? [...all.slice(at), ...all.slice(0, at)] : all
  }

  /** @param first goes before the others, without a word to the page unless it fails. */
  async #connect(first = null) {
    const round = this.#round += 1
    this.#dropTransport()
    for (const name of ['retry', 'silence', 'upgrade', 'renewal', 'restart']) this.#clear(name)
    this.#triedAt = Date.now()
    this.#isAskedToWait = false
    if (!first) this.#say({ state: 'connecting' })
    let order = this.#order()
    if (first) order = [first, ...order.filter((name) => name !== first)]
    let last = { error: new MartletError('unreachable', `${this.config.base} did not answer.`, { isTemporary: true }) }
    for (let index = 0; index < order.length; index += 1) {
      const how = await this.#try(order[index], round)
      if (round !== this.#round) return
      if (how.isOpen) return
      last = how
      if (index === 0 && first) this.#say({ state: 'connecting' })
      const next = await this.#judge(how, order[index])
      if (round !== this.#round) return
      if (next === 'again') { index -= 1; continue }
      if (next === 'stop') return
      if (next === 'wait') break
    }
    // A server that is down says nothing of the network.
    this.#slowRounds = last.isTimeout ? this.#slowRounds + 1 : 0
    this.#wait(last)
  }

  /** What a try that failed means: `again` the same, the `next` transport, `wait`, or `stop` (which it has done then). */
  async #judge({ code, error, reason, isNetwork }, name) {
    if (error?.code === 'token_failed') {
      if (error.isTemporary) { this.host.problem(error); return 'wait' }
      this.#stop(error)
      return 'stop'
    }
    if (error?.fromServer) {
      if (OF_TOKENS.has(error.code)) return this.#judgeToken(error)
      if (error.code === 'invalid_cursor') {
        this.host.forgetCursor()
        return 'again'
      }
      if (['forbidden', 'too_many_topics'].includes(error.code) && this.host.topics().known.length && !this.#isTopicsDoubted) {
        this.#isTopicsDoubted = true
        return 'again'
      }
      if (error.code === 'forbidden' && this.#isTopicsDoubted && await this.host.dropForbidden()) return 'again'
      if (TEMPORARY.has(error.code)) return 'wait'
      // An older server may not know a transport, and a refused frame of ours is not cured by sending it again.
      if (['not_found', 'upgrade_required', 'method_not_allowed'].includes(error.code) || name === 'jsonp') return 'next'
      this.#stop(error)
      return 'stop'
    }
    if (code === 4002 || code === 4501) return this.#judgeToken(new MartletError('unauthorized', `The server closed with ${code} ${reason}.`))
    if (code !== undefined && !Link.isTransient(code)) { this.#stop(Link.closed(code, reason)); return 'stop' }
    if (code !== undefined && code !== 1005 && code !== 1006) return 'wait'
    // Nothing listens there: the other transports would say the same, but for JSONP where another origin is not allowed to ask.
    if (error?.status >= 502 || (error?.isNetwork && !this.config.isElsewhere)) {
      this.#breaks = 0
      return 'wait'
    }
    // What got through before is not blocked because one try broke off: the server may be down, which a browser does not tell.
    if (name !== this.#proven || !(isNetwork || error?.isNetwork)) return 'next'
    this.#breaks += 1
    return this.#breaks === 1 ? 'wait' : 'next'
  }

  async #judgeToken(error) {
    this.#authFailures += 1
    if (!this.tokens.isUsed || this.#authFailures > 1 || typeof this.tokens.source !== 'function') {
      this.#stop(error)
      return 'stop'
    }
    try {
      await this.tokens.renew('rejected')
      return 'again'
    } catch (failure) {
      return this.#judge({ error: failure })
    }
  }

  /** Whether connecting again after this close code makes sense. */
  static isTransient(code) {
    return (code >= 4000 && code < 4500) || [1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015].includes(code)
  }

  static closed(code, reason) {
    const named = { 4500: 'taken_over', 4501: 'unauthorized', 4502: 'disconnected' }[code] ?? 'closed'
    return new MartletError(named, `The server ended the session with ${code}${reason ? ` (${reason})` : ''}.`, { closeCode: code })
  }

  /** Whom the query names: nobody beside a token but its device. */
  who() {
    const named = this.tokens.isUsed ? { device: claims(this.tokens.current ?? '').device ? undefined : this.device } : { user: this.config.user, device: this.device }
    return { user: named.user ?? undefined, device: named.device ?? undefined }
  }

  #query(name, session) {
    const { known, wanted, wantsPresence } = this.host.topics()
    // A frame can ask for a topic by itself, so that one that is not allowed does not keep the others out.
    const topics = name !== 'websocket' ? wanted : this.#isTopicsDoubted ? [] : known
    session.asked = topics
    const { cursor, since } = this.host.resume()
    const who = this.who()
    const isNameless = !this.tokens.isUsed && who.user === undefined && who.device === undefined
    return {
      ...who,
      cursor,
      since: topics.length ? since : undefined,
      topics: topics.length || (isNameless && name === 'websocket') ? topicList(topics) : undefined,
      presence: topics.length && wantsPresence && !(this.#isTopicsDoubted) ? 1 : undefined,
      from: this.config.from,
      hb: 'visible', heartbeat: this.tuner.interval, window: this.config.window,
      ack: this.device === null ? 'none' : 'explicit',
    }
  }

  /** Opens a session by one transport; `{isOpen: true}` when it was welcomed. */
  async #try(name, round, timeoutMs = TRANSPORTS[name].timeoutMs * 2 ** Math.min(3, this.#slowRounds)) {
    let token = null
    try {
      token = await this.tokens.get()
    } catch (error) {
      return { error }
    }
    if (round !== this.#round) return {}
    return new Promise((resolve) => {
      const isProbe = Boolean(this.#transport)
      let isWelcome = false
      let transport
      const isCurrent = () => (isWelcome ? transport === this.#transport : round === this.#round)
      const guarded = (work) => (...values) => { if (isCurrent()) work(...values) }
      const on = {
        heard: guarded((isBeat) => { if (isWelcome) this.#heard(isBeat) }),
        welcome: guarded((welcome, cursor) => {
          if (isWelcome) return
          isWelcome = true
          clearTimeout(timer)
          session.id = welcome.session
          if (this.#probe === transport) this.#probe = null
          this.#opened(name, transport, welcome, cursor, isProbe)
          resolve({ isOpen: true })
        }),
        message: guarded((message, cursor) => this.host.message(message, cursor)),
        gap: guarded((gap, cursor) => this.host.gap(gap, cursor)),
        presence: guarded((event) => this.host.presence(event)),
        subscribed: guarded((topics) => this.host.subscribed(topics, true)),
        unsubscribed: guarded((topics) => this.host.unsubscribed([topics].flat())),
        published: guarded((answer) => this.host.published(answer)),
        error: guarded((error) => this.host.refusedFrame(error)),
        renewed: guarded(({ expiresAt }) => { this.#authFailures = 0; this.#renewLater(expiresAt) }),
        position: guarded((cursor) => this.host.position(cursor)),
        drain: guarded(({ reconnectAfterMs }) => { this.#drainMs = reconnectAfterMs }),
        end: (how) => {
          clearTimeout(timer)
          if (this.#probe === transport) this.#probe = null
          if (isWelcome && transport === this.#transport) this.#lost(how)
          else if (transport === this.#transport) this.#transport = null
          resolve(how)
        },
      }
      const session = {
        config: this.config, tokens: this.tokens, http: this.http, token, on, id: undefined,
        query: () => this.#query(name, session), who: () => this.who(), handled: () => this.host.handled(),
      }
      transport = new TRANSPORTS[name].Type(session)
      const timer = setTimeout(() => transport.end({ isTimeout: true }), Math.min(timeoutMs, 15_000))
      if (isProbe) this.#probe = transport
      else this.#transport = transport
      transport.start()
    })
  }

  #opened(name, transport, welcome, cursor, isProbe) {
    const old = this.#transport
    this.#transport = transport
    this.#isReady = true
    if (isProbe && old !== transport) old?.close()
    this.preferred = this.#proven = name
    this.#breaks = this.#slowRounds = 0
    this.openedAt = this.#lastHeard = Date.now()
    this.#failures = this.#authFailures = 0
    this.#quietBeats = this.#pingedUntil = 0
    this.#drainMs = undefined
    this.retryMs = welcome.retryMs
    this.heartbeatMs = welcome.heartbeatMs
    if (welcome.serverTime) this.skew = welcome.serverTime - Date.now()
    // Polls watch their own time.
    this.#silenceMs = transport instanceof PollTransport ? 0 : welcome.heartbeatMs * 1.75
    if (this.#suspect) {
      if (this.#suspect.isSilent && Date.now() - this.#suspect.at < 10_000) this.tuner.died(this.#suspect.seconds)
      this.#suspect = null
    }
    this.#save()
    this.#isTopicsDoubted = false
    const isSame = this.status.state === 'connected' && this.status.transport === name && this.status.session === welcome.session
    if (!isSame) {
      this.#say({
        state: 'connected', transport: name, session: welcome.session, user: welcome.user, device: welcome.device,
        heartbeatMs: this.#silenceMs ? welcome.heartbeatMs : undefined,
      })
    }
    this.host.opened(welcome, cursor, { sendsFrames: Boolean(transport.sendsFrames), asked: transport.session.asked })
    this.#renewLater(welcome.expiresAt ?? (transport instanceof PollTransport ? undefined : claims(this.tokens.current ?? '').exp * 1000))
    this.check()
    this.#upgradeLater()
  }

  // ------------------------------------------------ coming back

  #lost(how) {
    const { code, error } = how
    const name = this.status.transport
    // While a better transport is tried, the server ends this one for it.
    if (code === 4500 && this.#probe) {
      this.#dropTransport(true)
      return
    }
    const life = Date.now() - this.openedAt
    this.#countLife(name, life, how)
    const retryMs = this.#drainMs ?? error?.retryAfterMs ?? this.retryMs
    this.#round += 1
    this.#dropTransport()
    // A request of its own that was given up may have come late, and have taken over from the one after it.
    if (code === 4500 && Date.now() - this.#restartedAt < LATE_MS) {
      this.#restartedAt = 0
      this.#connect(name)
      return
    }
    if (code !== undefined && !Link.isTransient(code) && !OF_TOKENS.has(error?.code) && code !== 4501) {
      this.#stop(error ?? Link.closed(code, how.reason))
      return
    }
    if (code === 4002 || code === 4501 || OF_TOKENS.has(error?.code)) {
      if (life > 1_000) { this.#comeBackWithToken(error ?? Link.closed(code, how.reason)); return }
      // It ended as soon as it began: not in a loop.
      this.tokens.current = typeof this.tokens.source === 'function' ? null : this.tokens.current
    }
    if (error?.fromServer && !TEMPORARY.has(error.code) && !OF_TOKENS.has(error.code)) {
      if (error.code === 'forbidden') { this.#comeBackWithout(error, name); return }
      if (error.code !== 'invalid_cursor') { this.#stop(error); return }
      this.host.forgetCursor()
    }
    // A death by silence has taken its time already.
    this.#wait(how, how.isSilent ? 0 : retryMs ?? pause(0))
  }

  async #comeBackWithToken(error) {
    this.#say({ state: 'connecting' })
    const round = this.#round += 1
    const next = await this.#judgeToken(error)
    if (round !== this.#round || next === 'stop') return
    if (next === 'wait') this.#wait({ error })
    else this.#connect()
  }

  /** A poll was refused: for one of its topics, or the back end has ended the session. */
  async #comeBackWithout(error, name) {
    const round = this.#round
    const isTopic = await this.host.dropForbidden()
    if (round !== this.#round) return
    if (isTopic) this.#connect(name)
    else this.#stop(error)
  }

  #countLife(name, life, { code, isSilent }) {
    if (life >= SHORT.lifeMs || isSilent || (code !== undefined && code !== 1006)) { this.#shortLives.delete(name); return }
    const count = (this.#shortLives.get(name) ?? 0) + 1
    this.#shortLives.set(name, count)
    if (count < SHORT.most || this.available.length < 2) return
    this.#shortLives.delete(name)
    this.#leftAlone.set(name, Date.now() + SHORT.leftAloneMs)
    if (this.preferred === name) this.preferred = null
  }

  #wait({ error, code, reason }, ms = undefined) {
    this.#dropTransport()
    const asked = error?.retryAfterMs
    const delay = Math.max(ms ?? pause(this.#failures, this.config.retry), asked ?? 0)
    this.#isAskedToWait = asked !== undefined || this.#drainMs !== undefined
    this.#drainMs = undefined
    this.#failures += 1
    this.#retryAt = Date.now() + delay
    const why = error ?? (code === undefined ? undefined : Link.closed(code, reason))
    this.#say({ state: 'waiting', retryAt: this.#retryAt, error: why })
    this.#after('retry', delay, () => this.check())
  }

  #dropTransport(keepsProbe = false) {
    this.#isReady = false
    this.#transport?.close()
    this.#transport = null
    if (keepsProbe) return
    this.#probe?.close()
    this.#probe = null
  }

  // ------------------------------------------------ moving up, and tokens

  #upgradeLater() {
    this.#clear('upgrade')
    const better = this.available.slice(0, this.available.indexOf(this.status.transport)).filter((name) => name !== 'eventsource')
    if (!better.length) { this.#upgrades = 0; return }
    const ms = Math.min(UPGRADE.mostMs, (this.config.upgradeMs ?? UPGRADE.baseMs) * 2 ** this.#upgrades) * (0.75 + Math.random() / 2)
    this.#after('upgrade', ms, () => this.#upgrade(better))
  }

  async #upgrade(better) {
    const round = this.#round
    this.#upgrades = Math.min(10, this.#upgrades + 1)
    for (const name of better) {
      if (this.#leftAlone.get(name) > Date.now()) continue
      const how = await this.#try(name, round, TRANSPORTS[name].timeoutMs)
      if (round !== this.#round || how.isOpen) return
    }
    // The probe took the session away and came to nothing.
    if (!this.#transport) this.restart()
    else if (this.isOpen) this.#upgradeLater()
  }

  #renewLater(expiresAt) {
    this.#clear('renewal')
    if (!expiresAt || !this.tokens.isUsed || typeof this.tokens.source !== 'function') return
    const left = expiresAt - this.serverTime
    this.#after('renewal', Math.max(500, left - Math.min(60_000, Math.max(left * 0.2, 1_000))), () => this.#renew(expiresAt))
  }

  async #renew(expiresAt) {
    const transport = this.#transport
    const round = this.#round
    const before = this.tokens.current
    try {
      const token = await this.tokens.renew('renewal')
      if (round !== this.#round || transport !== this.#transport) return
      if (token === before) throw new MartletError('token_expired', 'token() returned the same token again.')
      await transport.renew(token)
    } catch (error) {
      if (round !== this.#round || transport !== this.#transport) return
      this.host.problem(error instanceof MartletError ? error : new MartletError('token_failed', String(error)))
      // When the token ends, so does the session, with 4002.
      this.#after('renewal', 5_000 + Math.random() * 5_000, () => this.#renew(expiresAt))
    }
  }

  // ------------------------------------------------ small

  #say(status) {
    const { state, error, ...rest } = status
    if (state === 'connecting' && this.status.state === state) return
    this.status = { state, ...rest, ...(error ? { error } : {}) }
    this.host.status(this.status)
  }

  #after(name, ms, work) {
    this.#clear(name)
    this.#timers[name] = setTimeout(() => { this.#timers[name] = null; work() }, Math.min(ms, TIMER_MOST_MS))
  }
  #clear(name) {
    clearTimeout(this.#timers[name])
    this.#timers[name] = null
  }
}

// ---------------------------------------------------------------- Engine

/** Ids that are remembered so that nothing is handled twice. */
const REMEMBERED = 4_096
/** Publishes on their way at once; the server reads no further at 64. */
const PUBLISHES_AT_ONCE = 32
/** Above, a publish goes by a request of its own. */
const FRAME_MOST = 32_768
/** Messages that wait for handlers; above, the connection is let go until they were handled. */
const BACKLOG_MOST = 5_000
/** How long a tab may say nothing while a message waits for it. */
const TAB_SILENCE_MS = 5_000

/**
 * Runs in one tab for all of them (or for itself): holds the Link, hands messages to the tabs that want them, acks what all of them
 * handled, keeps the cursor, and publishes.
 *
 * A member is a tab: `{types, topics: Map(filter → {presence})}`. `post(member, letter)` reaches it.
 */
class Engine {
  #members = new Map()
  #topics = new Map()
  #refusedAt = 0
  #tasks = new Map()
  #chains = new Map()
  #parked = new Set()
  #outbox = new Map()
  #sent = 0
  #isPosting = false
  #outboxTimer = null
  #ledger = new Ledger()
  #recent = new Recent(REMEMBERED)
  #acks = []
  #ackTimer = null
  #saveTimer = null
  #savedAt = 0
  #idleWaiters = []
  #isPaused = false
  #wasOpened = false
  /** The server's time up to which topics were handled, about. */
  #topicsAt = 0
  #isStopped = false
  link = null

  constructor(config, tokens, http, shelf, post) { Object.assign(this, { config, tokens, http, shelf, post }) }

  async start() {
    const [place, path, heartbeat, device] = await Promise.all(['cursor', 'path', 'heartbeat', 'device'].map((name) => this.shelf.read(name)))
    if (this.#isStopped) return
    let own = this.config.device
    if (own === undefined) {
      own = device ?? `js-${randomId()}`
      if (!device) this.shelf.write('device', own)
    }
    this.#ledger = new Ledger(place?.cursor ?? '')
    this.#recent = new Recent(REMEMBERED, place?.done ?? [])
    this.link = new Link(this.config, this.tokens, this.http, this.shelf, this, { path, heartbeat, device: own })
    this.link.start()
  }

  stop() {
    this.#isStopped = true
    this.#ackNow()
    this.#saveNow()
    clearTimeout(this.#outboxTimer)
    for (const task of this.#tasks.values()) clearTimeout(task.timer)
    this.link?.stop('closed')
  }

  // ------------------------------------------------ from tabs

  receive(from, letter) {
    if (this.#isStopped) return
    const member = this.#members.get(from)
    if (member) Object.assign(member, { heardAt: Date.now(), isStalled: false })
    switch (letter.kind) {
      case 'hello': return this.#hello(from, letter)
      case 'types': if (member) member.types = new Set(letter.types); return this.#unpark()
      case 'subscribe': return this.#subscribe(from, letter)
      case 'unsubscribe': return this.#unsubscribe(from, letter.topic)
      case 'publish': return this.#publish(from, letter.item)
      case 'forget': this.#outbox.delete(letter.key); return undefined
      case 'done': return this.#done(from, letter)
      case 'connect': return this.link?.start()
      case 'wake': return this.link?.wake(letter)
      case 'ping': this.link?.check(); return this.post(from, { kind: 'pong' })
      case 'bye': return this.gone(from)
      case 'save': return this.#saveNow()
      default: return undefined
    }
  }

  #hello(from, { types, topics, items }) {
    this.#members.set(from, { types: new Set(types), topics: new Map(), heardAt: Date.now(), isStalled: false })
    this.post(from, { kind: 'status', status: this.#told(this.link?.status ?? { state: 'connecting' }) })
    // Somebody has signed in again, or opens the page again.
    if (this.link?.status.state === 'stopped' && this.link.status.error?.code !== 'taken_over') this.link.start()
    for (const topic of topics) this.#subscribe(from, topic)
    for (const item of items) this.#publish(from, item)
    this.#unpark()
  }

  /** A tab is not there any more. */
  gone(from) {
    const member = this.#members.get(from)
    if (!member) return
    this.#members.delete(from)
    for (const topic of member.topics.keys()) this.#release(topic)
    for (const task of [...this.#tasks.values()]) {
      if (task.waiting.delete(from) && !task.waiting.size) this.#settled(task)
    }
  }

  #told(status) {
    const { error, ...rest } = status
    // Errors do not keep their own members on their way to other tabs.
    return error ? { ...rest, error: Engine.plain(error) } : rest
  }

  static plain(error) {
    const { cause, ...rest } = { ...error }
    return { ...rest, code: error.code, message: error.message }
  }

  #tellAll(letter) { for (const id of this.#members.keys()) this.post(id, letter) }

  // ------------------------------------------------ topics

  #subscribe(from, { topic, presence }) {
    const member = this.#members.get(from)
    if (!member) return
    member.topics.set(topic, { presence })
    const known = this.#topics.get(topic)
    if (!known) this.#topics.set(topic, { state: 'new', presence: Boolean(presence), isAsked: false })
    if (known && presence && !known.presence) {
      known.presence = true
      if (known.state === 'known' || known.isAsked) this.link?.restartSoon()
    } else if (known?.state === 'known') {
      this.post(from, { kind: 'subscribed', topic, isFresh: false })
    } else if (!known) this.#askSoon()
  }

  #unsubscribe(from, topic) {
    if (this.#members.get(from)?.topics.delete(topic)) this.#release(topic)
  }

  #release(topic) {
    if ([...this.#members.values()].some((member) => member.topics.has(topic))) return
    const { state } = this.#topics.get(topic) ?? {}
    this.#topics.delete(topic)
    if (state !== 'known' || !this.link?.isOpen) return
    if (this.link.sendsFrames) this.link.send({ unsubscribe: topic })
    else this.link.restartSoon()
  }

  /** Asks for what is new, in the way of the transport. */
  #askSoon() {
    if (!this.link?.isOpen) return
    if (!this.link.sendsFrames) { this.link.restartSoon(); return }
    for (const [topic, known] of this.#topics) {
      if (known.state === 'known' || known.isAsked) continue
      known.isAsked = this.link.send({
        subscribe: {
          topic, ...(known.presence ? { presence: true } : {}),
          // It was subscribed to before: what came meanwhile, as far as it is kept. What was handled already is known by its id.
          ...(known.lastAt ? { since: String(Math.floor(known.lastAt)) } : {}),
        },
      })
    }
  }

  subscribed(topics, isFresh) {
    for (const { topic, count } of topics) {
      const known = this.#topics.get(topic)
      if (!known) continue
      Object.assign(known, { state: 'known', isAsked: false, lastAt: undefined })
      for (const [id, member] of this.#members) {
        if (member.topics.has(topic)) this.post(id, { kind: 'subscribed', topic, count, isFresh })
      }
    }
  }

  unsubscribed(topics) {
    for (const { topic, reason } of topics) {
      if (reason !== 'requested') this.#refuse(topic, new MartletError('forbidden', `The topic "${topic}" is not allowed any more.`))
    }
  }

  #refuse(topic, error) {
    this.#refusedAt = Date.now()
    const known = this.#topics.get(topic)
    if (!known) return
    this.#topics.delete(topic)
    for (const [id, member] of this.#members) {
      if (member.topics.delete(topic)) this.post(id, { kind: 'refused', topic, error: Engine.plain(error) })
    }
  }

  /** Topics were refused with all others: finds out which. Whether one was. */
  async dropForbidden() {
    const before = this.#topics.size
    for (const topic of this.topics().wanted.filter((name) => !hasWildcard(name))) {
      try {
        await this.http.json('GET', topicPath(topic), { query: this.link.who() })
      } catch (error) {
        if (error.code === 'forbidden') this.#refuse(topic, error)
      }
    }
    if (this.#topics.size < before) return true
    // It was refused already: this was said of a request that had still asked for it.
    if (Date.now() - this.#refusedAt < LATE_MS) {
      this.#refusedAt = 0
      return true
    }
    // The server can only be asked about topics: so it is one of the filters.
    for (const filter of this.topics().wanted.filter((name) => hasWildcard(name) && this.#topics.get(name).state !== 'known')) {
      this.#refuse(filter, new MartletError('forbidden', `The filter "${filter}" may not be subscribed to.`))
    }
    return this.#topics.size < before
  }

  // ------------------------------------------------ from the Link

  /**
   * Where the next session goes on. While messages of the inbox wait for somebody who wants them the cursor stands before them, for
   * presenting a later one would ack them: then topics go on by time, and the server knows what of the inbox was acked.
   */
  resume() {
    if (!this.#parked.size || !this.#topics.size) return { cursor: this.#ledger.cursor || undefined }
    const waiting = [...this.#tasks.values()].filter(({ message }) => message.topic !== undefined && !message.retained)
    return { since: Math.floor(waiting.reduce((least, { message }) => Math.min(least, message.at), this.#topicsAt)) }
  }
  get isIdle() { return !this.#tasks.size && !this.#outbox.size }

  topics() {
    const all = [...this.#topics]
    return {
      // The first time too, so that they go on from the cursor of the page before this one.
      known: all.filter(([, topic]) => topic.state === 'known' || !this.#wasOpened).map(([name]) => name),
      wanted: all.map(([name]) => name),
      wantsPresence: all.some(([, topic]) => topic.presence),
    }
  }

  opened(welcome, cursor, { sendsFrames, asked }) {
    this.#acks = []
    this.#wasOpened = true
    this.#topicsAt ||= this.link.serverTime
    const isResumed = Boolean(this.#ledger.cursor)
    this.#ledger = new Ledger(cursor || this.#ledger.cursor)
    this.#saveSoon()
    for (const item of this.#outbox.values()) item.isSent = false
    this.#sent = 0
    const counts = new Map((welcome.topics ?? []).map(({ topic, count }) => [topic, count]))
    for (const [topic, known] of this.#topics) {
      known.isAsked = false
      if (asked.includes(topic)) this.subscribed([{ topic, count: counts.get(topic) }], known.state === 'new' && !isResumed)
      else if (known.state === 'known') known.state = 'again'
    }
    if (sendsFrames || this.topics().wanted.some((topic) => !asked.includes(topic))) this.#askSoon()
    this.#flushOutbox()
  }

  status(status, isSure = false) {
    if (status.error?.code === 'taken_over' && this.config.isShared && !isSure) {
      // Mostly by another tab of ours, which took the lock as well: that is no end.
      setTimeout(() => { if (!this.#isStopped && this.link.status.error === status.error) this.status(status, true) }, 500)
      return
    }
    if (status.state !== 'connected') {
      const lastAt = this.link ? this.link.serverTime - 2_000 : 0
      for (const known of this.#topics.values()) if (known.state === 'known') known.lastAt ??= lastAt
    }
    if (!this.#isStopped) this.#tellAll({ kind: 'status', status: this.#told(status) })
    if (status.state === 'stopped') for (const item of [...this.#outbox.values()]) this.#answer(item, { error: status.error })
  }

  problem(error) { this.#tellAll({ kind: 'problem', error: Engine.plain(error) }) }
  forgetCursor() {
    this.#ledger = new Ledger()
    this.#saveNow()
  }
  gap(gap) {
    for (const [id, member] of this.#members) {
      if (gap.topic === undefined || this.#wants(member, gap)) this.post(id, { kind: 'gap', gap })
    }
  }
  presence(event) {
    for (const [id, member] of this.#members) {
      if ([...member.topics].some(([filter, { presence }]) => presence && matches(filter, event.topic))) this.post(id, { kind: 'presence', event })
    }
  }
  refusedFrame({ topic, ref, ...error }) {
    if (ref !== undefined) this.published({ ref, error })
    else if (topic !== undefined) this.#refuse(topic, MartletError.from(error))
  }

  /** The place after what came so far; of transports whose messages have none of their own. */
  position(cursor) { this.#finish([this.#ledger.add(cursor)]) }

  /** Settles when everything that came was handled, or waits for somebody who wants it. */
  handled() {
    if (this.#tasks.size <= this.#parked.size) return Promise.resolve({ isParked: this.#parked.size > 0 })
    return new Promise((resolve) => { this.#idleWaiters.push(resolve) })
  }

  message(message, cursor) {
    const { seq, cursor: _, ...content } = message
    const entry = this.#ledger.add(cursor, content.id)
    entry.seq = seq
    if (!content.retained && this.#recent.has(content.id)) { this.#finish([entry]); return }
    const key = content.retained ? `${content.id} retained` : content.id
    const running = this.#tasks.get(key)
    if (running) { running.entries.push(entry); return }
    const task = { key, message: content, entries: [entry], attempts: 0, waiting: new Set(), failed: new Set(), wasHandled: false, only: null }
    this.#tasks.set(key, task)
    this.#queue(task)
    if (this.#tasks.size > BACKLOG_MOST && !this.#isPaused) {
      // What is not handled comes again from the cursor.
      this.#isPaused = true
      this.problem(new MartletError('too_slow', `${BACKLOG_MOST} messages wait for their handlers: the connection is let go until they were handled.`))
      this.link.stop('idle')
    }
  }

  // ------------------------------------------------ handing out

  #wants(member, message) {
    if (message.topic !== undefined) return [...member.topics.keys()].some((filter) => matches(filter, message.topic))
    return member.types.has('*') || member.types.has(message.type)
  }

  /** One after the other within a topic, and within the inbox. */
  #queue(task, isNext = false) {
    const name = task.message.topic ?? ''
    const chain = this.#chains.get(name) ?? { waiting: [], isBusy: false }
    this.#chains.set(name, chain)
    if (isNext) chain.waiting.unshift(task)
    else chain.waiting.push(task)
    if (!chain.isBusy) this.#next(name)
  }

  #next(name) {
    const chain = this.#chains.get(name)
    if (!chain) return
    const task = chain.waiting.shift()
    chain.isBusy = Boolean(task)
    if (!task) { this.#chains.delete(name); return }
    const ids = [...this.#members].filter(([id, member]) => this.#wants(member, task.message) && (!task.only || task.only.has(id))).map(([id]) => id)
    if (!ids.length) {
      // While nobody handles anything of the inbox, it waits for who does. A message of a type that nobody wants is over.
      const isWaitedFor = task.message.topic === undefined && ![...this.#members.values()].some((member) => member.types.size)
      if (isWaitedFor || (task.attempts && !task.wasHandled)) this.#park(task)
      else this.#over(task)
      this.#next(name)
      return
    }
    task.attempts += 1
    task.failed = new Set()
    task.waiting = new Set(ids)
    task.timer = setTimeout(() => this.#watch(task), TAB_SILENCE_MS)
    const message = task.attempts > 1 && task.message.topic === undefined ? { ...task.message, redelivered: true } : task.message
    for (const id of ids) this.post(id, { kind: 'message', key: task.key, message, attempt: task.attempts, attempts: this.config.attempts })
  }

  /** A tab that the browser has frozen must not hold up the others; a slow handler may take its time. */
  #watch(task) {
    if (this.#isStopped || !task.waiting.size) return
    const now = Date.now()
    for (const id of [...task.waiting]) {
      const member = this.#members.get(id)
      if (!member || member.isStalled || now - member.heardAt > 2 * TAB_SILENCE_MS) {
        if (member) member.isStalled = true
        task.waiting.delete(id)
      } else {
        this.post(id, { kind: 'ping' })
      }
    }
    if (!task.waiting.size) this.#settled(task)
    else task.timer = setTimeout(() => this.#watch(task), TAB_SILENCE_MS)
  }

  #done(from, { key, isHandled }) {
    const task = this.#tasks.get(key)
    if (!task?.waiting.delete(from)) return
    if (isHandled) task.wasHandled = true
    else task.failed.add(from)
    if (!task.waiting.size) this.#settled(task)
  }

  #settled(task) {
    clearTimeout(task.timer)
    if (task.failed.size && task.attempts < this.config.attempts) {
      task.only = new Set(task.failed)
      task.timer = setTimeout(() => this.#queue(task), Math.min(30_000, this.config.retryHandlerMs * 2 ** (task.attempts - 1)))
    } else if (!task.failed.size && !task.wasHandled) {
      // Its tabs went away over it.
      task.only = null
      this.#queue(task, true)
    } else {
      this.#over(task)
    }
    this.#next(task.message.topic ?? '')
  }

  #over(task) {
    this.#tasks.delete(task.key)
    this.#parked.delete(task)
    if (!task.message.retained) this.#recent.add(task.message.id)
    if (task.message.topic !== undefined) this.#topicsAt = Math.max(this.#topicsAt, task.message.at)
    this.#finish(task.entries)
    this.#wakeWaiters()
    if (this.#isPaused && this.#tasks.size <= this.#parked.size) {
      this.#isPaused = false
      this.link.start()
    }
  }

  #park(task) {
    this.#parked.add(task)
    this.#wakeWaiters()
  }

  #unpark() {
    const parked = [...this.#parked]
    this.#parked.clear()
    for (const task of parked) { task.only = null; this.#queue(task) }
  }

  #wakeWaiters() {
    if (this.#tasks.size > this.#parked.size) return
    for (const resolve of this.#idleWaiters.splice(0)) resolve({ isParked: this.#parked.size > 0 })
  }

  // ------------------------------------------------ acks and the cursor

  #finish(entries) {
    for (const entry of entries) {
      if (entry.ledger !== this.#ledger) continue
      this.#ledger.done(entry)
      if (entry.seq !== undefined) this.#acks.push(entry.seq)
    }
    this.#saveSoon()
    if (this.#acks.length) this.#ackTimer ??= setTimeout(() => this.#ackNow(), 10)
  }

  #ackNow() {
    clearTimeout(this.#ackTimer)
    this.#ackTimer = null
    if (this.#acks.length) this.link?.ack(this.#acks)
    this.#acks = []
  }

  #saveSoon() {
    if (this.#saveTimer || this.#isStopped) return
    // In a hidden tab a timer may be late by a second and more, and Firefox writes nothing any more when a page goes.
    const ms = this.config.document?.visibilityState === 'hidden' ? 0 : Math.max(0, this.#savedAt + 100 - Date.now())
    if (ms) this.#saveTimer = setTimeout(() => this.#saveNow(), ms)
    else this.#saveNow()
  }

  #saveNow() {
    clearTimeout(this.#saveTimer)
    this.#saveTimer = null
    this.#savedAt = Date.now()
    this.shelf.write('cursor', { cursor: this.#ledger.cursor, done: this.#ledger.ahead })
  }

  // ------------------------------------------------ publishing

  #publish(from, item) {
    const known = this.#outbox.get(item.key)
    if (known) { known.from = from; return }
    if (this.link?.status.state === 'stopped') { this.#answer({ ...item, from }, { error: this.link.status.error }); return }
    this.#outbox.set(item.key, { ...item, from, isSent: false })
    this.#flushOutbox()
  }

  #flushOutbox() {
    if (this.#outboxTimer || this.#isPosting || this.#isStopped || !this.link?.isOpen) return
    if (!this.link.sendsFrames) { this.#postOutbox(); return }
    for (const item of this.#outbox.values()) {
      if (this.#sent >= PUBLISHES_AT_ONCE) return
      if (item.isSent) continue
      // One that is too large for a frame would end the connection; a request is refused with a reason.
      if (item.size > FRAME_MOST) {
        if (!this.#sent) this.#postOutbox(1)
        return
      }
      const { topic, data, dataBase64, contentType, type, ttl, retain, key } = item
      if (!this.link.send({ publish: { topic, data, dataBase64, contentType, type, ttl, retain, idempotencyKey: key, ref: key } })) return
      item.isSent = true
      this.#sent += 1
    }
  }

  /** By requests, one after the other. */
  async #postOutbox(most = Infinity) {
    if (this.#isPosting) return
    this.#isPosting = true
    let left = most
    for (const item of this.#outbox.values()) {
      if (this.#isStopped || !this.link.isOpen || (this.link.sendsFrames && most === Infinity) || (left -= 1) < 0) break
      const { topic, data, dataBase64, contentType, type, ttl, retain, key } = item
      const body = dataBase64 === undefined ? { body: JSON.stringify(data), contentType: 'application/json' } : { body: fromBase64(dataBase64), contentType }
      try {
        const answer = await this.http.json('POST', topicPath(topic), { query: { type, ttl, retain: retain || undefined, idempotencyKey: key, ...this.link.who() }, ...body })
        this.published({ ref: key, id: answer.id })
      } catch (error) {
        const isBlocked = error.isNetwork && this.link.status.transport === 'jsonp'
        if (isBlocked) this.#answer(item, { error: new MartletError('unreachable', 'Only script tags get through to the server from here: this page cannot publish.') })
        else this.published({ ref: key, error })
        if (this.#outboxTimer) break
      }
    }
    this.#isPosting = false
    if (this.#outbox.size) this.#flushOutbox()
  }

  published({ ref, id, error }) {
    const item = this.#outbox.get(ref)
    if (!item) return
    if (item.isSent) this.#sent = Math.max(0, this.#sent - 1)
    if (error && (error.isTemporary || TEMPORARY.has(error.code))) {
      item.isSent = false
      this.#outboxTimer ??= setTimeout(() => { this.#outboxTimer = null; this.#flushOutbox() }, error.retryAfterMs ?? 1_000)
      return
    }
    this.#answer(item, error ? { error: error instanceof Error ? error : MartletError.from(error) } : { id })
    this.#flushOutbox()
  }

  #answer(item, { id, error }) {
    this.#outbox.delete(item.key)
    this.post(item.from, { kind: 'published', key: item.key, id, error: error && Engine.plain(error) })
  }
}

// ---------------------------------------------------------------- Martlet and Topic

/** How often a visible tab asks whether the tab that leads is alive, and how long that one may say nothing. */
const LEADER = { askMs: 4_000, silenceMs: 9_000 }

/** What a handler gets: binary data as bytes. */
const opened = (message) => {
  if (message.dataBase64 === undefined) return message
  const { dataBase64, ...rest } = message
  return { ...rest, data: fromBase64(dataBase64) }
}

/** One `subscribe` of a page. */
class Subscription {
  isOver = false
  #seen = new Recent(1_024)
  #isBegun = false
  #history = null
  constructor(filter, handler, since) {
    Object.assign(this, { filter, handler, since })
    this.ready = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }))
    // Told to onError as well, so nobody has to catch it.
    this.ready.catch(() => {})
    if (since !== undefined) this.#history = new Promise((resolve) => { this.#historyCame = resolve })
  }
  #historyCame = () => {}

  /** The server has it. What it does not send by itself is asked for: history, or the retained value. */
  async begin(tab, isFresh) {
    if (this.#isBegun || this.isOver) return
    this.#isBegun = true
    try {
      if (this.since !== undefined) await this.#load(tab)
      else if (!isFresh && !hasWildcard(this.filter)) await this.#retained(tab)
      this.resolve()
    } catch (error) {
      if (!this.isOver) tab.problem(error)
      this.reject(error)
    } finally {
      this.#history = null
      this.#historyCame()
    }
  }

  /** Asks until there is an answer: a network that is gone, or a server that goes up or down, only delays it. */
  async #answer(ask) {
    for (let pause = 500; ; pause = Math.min(2 * pause, 30_000)) {
      try {
        return await ask()
      } catch (error) {
        if (this.isOver || !(error.isTemporary || TEMPORARY.has(error.code))) throw error
        await new Promise((resolve) => { setTimeout(resolve, error.retryAfterMs ?? pause * (0.5 + Math.random() / 2))?.unref?.() })
      }
    }
  }

  async #load(tab) {
    let next
    let isFirst = true
    do {
      const asked = isFirst ? { since: this.since } : { cursor: next }
      const page = await this.#answer(() => tab.http.json('GET', topicPath(this.filter, 'history'), { query: { ...asked, limit: 1_000, ...tab.who() } }))
      isFirst = false
      if (page.gap) tab.gaps.tell(page.gap)
      for (const message of page.messages) await this.#attempt(tab, message)
      next = page.next
    } while (next && !this.isOver)
  }

  async #retained(tab) {
    const info = await this.#answer(() => tab.http.json('GET', topicPath(this.filter), { query: tab.who() }))
    if (!info.retained) return
    try {
      const value = await this.#answer(() => tab.http.json('GET', topicPath(this.filter, 'retained'), { query: tab.who() }))
      await this.#attempt(tab, { ...value, retained: true })
    } catch (error) {
      if (error.code !== 'not_found') throw error
    }
  }

  async #attempt(tab, message) {
    if (this.isOver || this.#seen.has(message.id)) return
    try {
      await this.#give(message)
    } catch (cause) {
      tab.problem(Tab.failure(cause, message, true))
    }
  }

  async #give(message) {
    this.#seen.add(message.id)
    const whole = opened(message)
    try {
      await this.handler(whole.data, whole)
    } catch (error) {
      this.#seen.remove(message.id)
      throw error
    }
  }

  /** A message as it comes; after the history. */
  async take(message) {
    if (this.#history) await this.#history
    if (this.isOver || this.#seen.has(message.id)) return
    await this.#give(message)
  }
}

/** This page's or process' part: its handlers, its publishes, and who leads. */
class Tab {
  id = randomId()
  status = { state: 'idle', role: 'alone' }
  statuses = new Listeners()
  gaps = new Listeners()
  problems = new Listeners()
  #types = new Map()
  #topics = new Map()
  #items = new Map()
  #bytes = 0
  #recent = new Recent(REMEMBERED)
  #running = new Map()
  #succeeded = new Map()
  #engine = null
  #channel = null
  #isClosed = false
  #isBegun = false
  #heardLeaderAt = 0
  #releases = []
  #aborts = []
  #clock = null
  #listening = null

  constructor(config) {
    this.config = config
    this.tokens = new Tokens(config.token)
    this.http = new Http(config, this.tokens)
  }

  who() { return this.tokens.isUsed ? {} : { user: this.config.user ?? undefined, device: this.config.device ?? undefined } }

  // ------------------------------------------------ joining

  async begin() {
    if (this.#isBegun || this.#isClosed) return
    this.#isBegun = true
    this.#listen()
    let subject = this.config.user
    for (let failures = 0; subject === undefined && this.tokens.isUsed; failures += 1) {
      try {
        subject = claims(await this.tokens.get()).sub ?? ''
      } catch (error) {
        this.problem(error)
        if (!error.isTemporary) { this.#told({ state: 'stopped', error }); this.#isBegun = false; return }
        const ms = pause(failures, this.config.retry)
        this.#told({ state: 'waiting', retryAt: Date.now() + ms, error })
        await new Promise((resolve) => { setTimeout(resolve, ms) })
      }
      if (this.#isClosed || !this.#isBegun) return
    }
    const name = ['martlet', this.config.base, subject ?? '', this.config.device ?? ''].join('|')
    this.shelf = new Shelf(this.config.store, name)
    if (this.config.isShared) this.#join(name)
    else this.#lead()
  }

  #join(name) {
    try {
      this.#channel = new this.config.BroadcastChannel(name)
    } catch {
      this.#goAlone()
      return
    }
    this.#channel.onmessage = ({ data }) => this.#letter(data)
    this.#told({ state: 'connecting' })
    // While this tab lives it holds a lock of its own, so that the leader learns of its end.
    this.#hold(`${name}|tab ${this.id}`, {}, () => {
      this.send({ kind: 'hello', ...this.#all() })
      this.#elect(name)
    })
    this.#heardLeaderAt = Date.now()
    this.#clock = setInterval(() => this.#askLeader(name), LEADER.askMs)
    this.name = name
  }

  /** Sandboxed frames may have neither locks nor channels. */
  #goAlone() {
    clearInterval(this.#clock)
    this.#channel?.close()
    this.#channel = null
    this.config.isShared = false
    this.#lead()
  }

  /** Holds a lock until the tab leaves. */
  #hold(name, options, work) {
    const release = { now: () => {}, isWanted: true }
    const abort = new AbortController()
    this.#aborts.push(abort)
    this.#releases.push(release)
    this.config.locks.request(name, options.steal ? options : { ...options, signal: abort.signal }, () => {
      if (!release.isWanted) return undefined
      work()
      return new Promise((resolve) => { release.now = resolve })
    }).catch((error) => {
      // Another tab took the lock: this one had not answered.
      if (error.name === 'AbortError') {
        if (release.isWanted && this.#engine && options.isLead) this.#resign()
      } else if (release.isWanted) {
        this.#goAlone()
      }
    })
    return { release: () => { release.isWanted = false; abort.abort(); release.now() } }
  }

  #candidacy = null
  #elect(name, steal = false) {
    this.#candidacy?.release()
    this.#candidacy = this.#hold(`${name}|leader`, { ...(steal ? { steal: true } : {}), isLead: true }, () => this.#lead())
  }

  #lead() {
    if (this.#isClosed || this.#engine) return
    this.#engine = new Engine(this.config, this.tokens, this.http, this.shelf, (to, letter) => {
      if (to === this.id) this.receive(letter)
      else this.#channel?.postMessage({ to, from: this.id, letter })
    })
    this.#engine.receive(this.id, { kind: 'hello', ...this.#all() })
    this.#channel?.postMessage({ to: 'all', from: this.id, letter: { kind: 'lead' } })
    this.#engine.start()
  }

  /** Follows from now on, and leads again if the others go. */
  #resign() {
    this.#engine?.stop()
    this.#engine = null
    this.#heardLeaderAt = Date.now()
    this.#elect(this.name)
    // Who took over said so while this one was leading.
    this.send({ kind: 'hello', ...this.#all() })
  }

  /** A leader that does not answer (frozen, or busy for long) is replaced. */
  #askLeader(name) {
    if (this.#engine || this.#isClosed || this.config.document?.visibilityState === 'hidden') { this.#heardLeaderAt = Date.now(); return }
    if (Date.now() - this.#heardLeaderAt > LEADER.silenceMs) {
      this.#heardLeaderAt = Date.now()
      this.#elect(name, true)
      return
    }
    this.send({ kind: 'ping' })
  }

  #letter({ to, from, letter }) {
    if (to === 'leader') {
      if (!this.#engine) return
      if (letter.kind === 'hello') {
        // Granted when that tab has gone.
        this.config.locks.request(`${this.name}|tab ${from}`, () => { this.#engine?.gone(from) }).catch(() => {})
      }
      this.#engine.receive(from, letter)
    } else if (to === 'all' && letter.kind === 'lead') {
      this.#heardLeaderAt = Date.now()
      if (!this.#engine) this.send({ kind: 'hello', ...this.#all() })
    } else if (to === this.id && !this.#engine) {
      this.#heardLeaderAt = Date.now()
      this.receive(letter)
    }
  }

  /** To the tab that leads. */
  send(letter) {
    if (this.#engine) this.#engine.receive(this.id, letter)
    else this.#channel?.postMessage({ to: 'leader', from: this.id, letter })
  }

  /** Everything that the leader must know of this tab. */
  #all() {
    return {
      types: [...this.#types.keys()],
      topics: [...this.#topics].map(([topic, { presences }]) => ({ topic, presence: presences.size > 0 })),
      items: [...this.#items.values()].map(({ item }) => item),
    }
  }

  #leave() {
    if (!this.#isBegun) return
    this.#isBegun = false
    this.send({ kind: 'bye' })
    clearInterval(this.#clock)
    this.#engine?.stop()
    this.#engine = null
    for (const release of this.#releases.splice(0)) { release.isWanted = false; release.now() }
    for (const abort of this.#aborts.splice(0)) abort.abort()
    this.#channel?.close()
    this.#channel = null
  }

  // ------------------------------------------------ the page

  #listen() {
    const { document, target } = this.config
    if (this.#listening || !target?.addEventListener) return
    this.#listening = new AbortController()
    const on = (where, name, work) => where?.addEventListener(name, work, { signal: this.#listening.signal })
    on(target, 'online', () => this.send({ kind: 'wake', isOnline: true }))
    on(target, 'offline', () => this.send({ kind: 'wake' }))
    on(document, 'visibilitychange', () => {
      if (document.visibilityState !== 'visible') { if (this.#engine) this.send({ kind: 'save' }); return }
      if (this.#channel && !this.#engine) this.send({ kind: 'ping' })
      this.send({ kind: 'wake' })
    })
    on(target, 'pagehide', () => this.#leave())
    // Taken out of the back/forward cache.
    on(target, 'pageshow', (event) => { if (event.persisted) this.begin() })
  }

  connect() {
    if (this.#isClosed) throw new MartletError('closed', 'close() was called: make a new Martlet.')
    if (this.#isBegun) this.send({ kind: 'connect' })
    else this.begin()
  }

  close() {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#leave()
    this.#listening?.abort()
    for (const { reject, timer } of this.#items.values()) {
      clearTimeout(timer)
      reject(new MartletError('closed', 'close() was called before the server answered: it may or may not have been published.'))
    }
    this.#items.clear()
    for (const topic of this.#topics.values()) {
      for (const subscription of topic.subscriptions) subscription.isOver = true
    }
    this.#told({ state: 'closed' })
  }

  problem(error) {
    if (this.problems.size) this.problems.tell(error)
    else console.error(error)
  }

  static failure(cause, message, isLast) {
    const what = message.topic === undefined ? `message ${message.id} (${message.type ?? 'without a type'})` : `message ${message.id} of "${message.topic}"`
    const then = isLast ? 'It was the last try: the message counts as handled.' : 'The handler is called again in a moment.'
    return new MartletError('handler_failed', `A handler failed on ${what}: ${cause?.message ?? cause}. ${then}`, { cause, handled: opened(message), willRetry: !isLast })
  }

  #told(status) {
    const { error, ...rest } = status
    const isSame = rest.state === 'connecting' && this.status.state === 'connecting'
    const role = !this.config.isShared ? 'alone' : this.#engine ? 'leader' : 'follower'
    this.status = { ...rest, role, ...(error ? { error: error instanceof Error ? error : this.#error(error) } : {}) }
    if (!isSame) this.statuses.tell(this.status)
  }

  #error({ code, message, ...rest }) { return new MartletError(code, message, rest) }

  // ------------------------------------------------ from the leader

  receive(letter) {
    switch (letter.kind) {
      case 'status':
        this.#told(letter.status)
        if (letter.status.state === 'stopped') this.problem(this.status.error)
        return undefined
      case 'message': return this.#handle(letter)
      case 'gap': return this.gaps.tell(letter.gap)
      case 'presence':
        for (const [filter, { presences }] of this.#topics) {
          if (matches(filter, letter.event.topic)) for (const listener of presences) listener.tell(letter.event)
        }
        return undefined
      case 'subscribed': {
        const topic = this.#topics.get(letter.topic)
        if (!topic) return undefined
        topic.isKnown = true
        for (const subscription of topic.subscriptions) subscription.begin(this, letter.isFresh)
        return undefined
      }
      case 'refused': return this.#refused(letter.topic, this.#error(letter.error))
      case 'published': return this.#published(letter)
      case 'problem': return this.problem(this.#error(letter.error))
      case 'ping': return this.send({ kind: 'alive' })
      default: return undefined
    }
  }

  async #handle({ key, message, attempt, attempts }) {
    let running = this.#running.get(key)
    if (!running) {
      running = this.#run(key, message, attempt >= attempts).finally(() => this.#running.delete(key))
      this.#running.set(key, running)
    }
    const isHandled = await running
    this.send({ kind: 'done', key, isHandled })
  }

  async #run(key, message, isLast) {
    const { topic, type, id } = message
    if (topic === undefined && this.#recent.has(id)) return true
    const calls = topic === undefined ? this.#inboxCalls(key, type, message) : this.#topicCalls(topic, message)
    const results = await Promise.allSettled(calls.map((call) => call()))
    const failures = results.filter((result) => result.status === 'rejected')
    for (const { reason } of failures) this.problem(Tab.failure(reason, message, isLast))
    if (failures.length && !isLast) return false
    this.#succeeded.delete(key)
    if (topic === undefined) this.#recent.add(id)
    return !failures.length
  }

  /** Those handlers that have not had it: after a failure only the failed one is called again. */
  #inboxCalls(key, type, message) {
    const whole = opened(message)
    const had = this.#succeeded.get(key) ?? new Set()
    this.#succeeded.set(key, had)
    return [...this.#types.get(type) ?? [], ...this.#types.get('*') ?? []].filter((handler) => !had.has(handler)).map((handler) => async () => {
      await handler.call(whole.data, whole)
      had.add(handler)
    })
  }

  #topicCalls(topic, message) {
    return [...this.#topics].filter(([filter]) => matches(filter, topic))
      .flatMap(([, { subscriptions }]) => [...subscriptions].map((subscription) => () => subscription.take(message)))
  }

  // ------------------------------------------------ from the page

  on(type, call) {
    if (typeof type !== 'string' || typeof call !== 'function') throw new TypeError("Say on('type', handler), or on('*', handler) for all messages.")
    const handler = { call }
    const handlers = this.#types.get(type) ?? new Set()
    handlers.add(handler)
    if (!this.#types.has(type)) {
      this.#types.set(type, handlers)
      this.#tellTypes()
    }
    return () => {
      if (handlers.delete(handler) && !handlers.size && this.#types.get(type) === handlers) {
        this.#types.delete(type)
        this.#tellTypes()
      }
    }
  }

  #tellTypes() { this.send({ kind: 'types', types: [...this.#types.keys()] }) }

  #topic(name) {
    const known = this.#topics.get(name)
    if (known) return known
    const made = { subscriptions: new Set(), presences: new Set(), isKnown: false }
    this.#topics.set(name, made)
    return made
  }

  subscribe(filter, handler, { since } = {}) {
    if (typeof handler !== 'function') throw new TypeError('Say topic(name).subscribe(handler).')
    if (since !== undefined && hasWildcard(filter)) throw new TypeError('"since" goes with a topic, not with a filter: subscribe to the topics one by one.')
    const isNew = !this.#topics.has(filter)
    const topic = this.#topic(filter)
    const subscription = new Subscription(filter, handler, since instanceof Date ? since.getTime() : since)
    topic.subscriptions.add(subscription)
    if (isNew) this.send({ kind: 'subscribe', topic: filter, presence: false })
    else if (topic.isKnown) subscription.begin(this, false)
    const stop = () => {
      subscription.isOver = true
      topic.subscriptions.delete(subscription)
      this.#leaveTopic(filter, topic)
    }
    return Object.assign(stop, { ready: subscription.ready })
  }

  onPresence(filter, call) {
    const isNew = !this.#topics.has(filter)
    const topic = this.#topic(filter)
    const listener = new Listeners()
    listener.add(call)
    topic.presences.add(listener)
    if (isNew || topic.presences.size === 1) this.send({ kind: 'subscribe', topic: filter, presence: true })
    return () => {
      topic.presences.delete(listener)
      this.#leaveTopic(filter, topic)
    }
  }

  #leaveTopic(filter, topic) {
    if (topic.subscriptions.size || topic.presences.size || this.#topics.get(filter) !== topic) return
    this.#topics.delete(filter)
    this.send({ kind: 'unsubscribe', topic: filter })
  }

  #refused(filter, error) {
    const topic = this.#topics.get(filter)
    if (!topic) return
    this.#topics.delete(filter)
    this.problem(error)
    for (const subscription of topic.subscriptions) {
      subscription.isOver = true
      subscription.reject(error)
    }
  }

  publish(topic, data, { type, ttl, retain, contentType, idempotencyKey, timeoutMs } = {}) {
    const { queue } = this.config
    if (this.#isClosed) return Promise.reject(new MartletError('closed', 'close() was called: make a new Martlet.'))
    if (hasWildcard(topic)) return Promise.reject(new TypeError('A filter cannot be published to: name one topic.'))
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : null
    const item = { key: idempotencyKey ?? randomId(), topic, type, ttl, retain }
    let size
    if (bytes) {
      Object.assign(item, { dataBase64: toBase64(bytes), contentType: contentType ?? 'application/octet-stream' })
      size = item.dataBase64.length
    } else {
      const text = JSON.stringify(data ?? null)
      if (text === undefined) return Promise.reject(new TypeError('Only what JSON can say, or bytes, can be published.'))
      // As it is now, whatever becomes of the object.
      item.data = JSON.parse(text)
      size = text.length
    }
    if (this.#items.has(item.key)) return this.#items.get(item.key).promise
    if (this.#items.size >= queue.messages || this.#bytes + size > queue.bytes) {
      return Promise.reject(new MartletError('queue_full', `${this.#items.size} publishes (${this.#bytes} bytes) wait for the server already.`))
    }
    item.size = size
    this.#bytes += size
    const entry = { item, size }
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }))
    this.#items.set(item.key, entry)
    if (timeoutMs) {
      entry.timer = setTimeout(() => {
        this.send({ kind: 'forget', key: item.key })
        this.#published({ key: item.key, error: { code: 'timeout', message: `The server did not answer within ${timeoutMs} ms.` } })
      }, timeoutMs)
    }
    this.send({ kind: 'publish', item })
    return entry.promise
  }

  #published({ key, id, error }) {
    const entry = this.#items.get(key)
    if (!entry) return
    this.#items.delete(key)
    this.#bytes -= entry.size
    clearTimeout(entry.timer)
    if (error) entry.reject(this.#error(error))
    else entry.resolve({ id })
  }
}

/** A stream of messages by name: a room, a sensor, a document. */
export class Topic {
  #tab
  constructor(tab, name) {
    this.#tab = tab
    this.name = name
  }
  subscribe(handler, options) { return this.#tab.subscribe(this.name, handler, options) }
  publish(data, options) { return this.#tab.publish(this.name, data, options) }
  onPresence(listener) { return this.#tab.onPresence(this.name, listener) }
  #ask(action, options = {}) {
    const { since, ...rest } = options
    return this.#tab.http.json('GET', topicPath(this.name, action), {
      query: { ...rest, since: since instanceof Date ? since.getTime() : since, ...this.#tab.who() },
    })
  }
  /** Who is there now. */
  presence(options) { return this.#ask('presence', options) }
  async history(options) {
    const page = await this.#ask('history', options)
    return { ...page, messages: page.messages.map(opened) }
  }
  async retained() {
    try { return opened(await this.#ask('retained')) } catch (error) {
      if (error.code === 'not_found') return null
      throw error
    }
  }
  info() { return this.#ask('') }
}

const standardQueue = { messages: 1_000, bytes: 1_048_576 }

const configured = (options) => {
  const page = globalThis.location
  const here = /^https?:/.test(import.meta.url) ? new URL(import.meta.url).origin : undefined
  const url = options.url ?? here
  if (!url) throw new TypeError("Give the server's url: new Martlet({ url: 'https://push.example.com' }).")
  const base = new URL(url, page?.href)
  if (!/^https?:$/.test(base.protocol)) throw new TypeError(`The url must begin with http:// or https://, not with ${base.protocol}//.`)
  if (options.token !== undefined && !['function', 'string'].includes(typeof options.token)) throw new TypeError('"token" is a function that returns a token, or a token.')
  const transports = options.transports ?? ['websocket', 'sse', 'eventsource', 'longpoll', 'jsonp']
  const unknown = transports.filter((name) => !TRANSPORTS[name])
  if (unknown.length) throw new TypeError(`There is no transport "${unknown[0]}": ${Object.keys(TRANSPORTS).join(', ')}.`)
  const document = globalThis.document
  const locks = globalThis.navigator?.locks
  const isShared = (options.share ?? Boolean(document)) && Boolean(locks && globalThis.BroadcastChannel)
  let { store } = options
  // Tabs that do not share must not be one device: the second would end the first.
  if (!store && document && !isShared && options.device === undefined) {
    try { store = new LocalStore(globalThis.sessionStorage) } catch { store = new MemoryStore() }
  }
  return {
    base: `${base.origin}${base.pathname}`.replace(/\/+$/, ''),
    isElsewhere: Boolean(page) && page.origin !== base.origin,
    token: options.token, user: options.user, device: options.device, from: options.from,
    transports, isShared, locks, document, store: store ?? bestStore(),
    target: document ? globalThis.window : undefined,
    BroadcastChannel: globalThis.BroadcastChannel,
    WebSocket: options.WebSocket ?? globalThis.WebSocket,
    EventSource: options.EventSource ?? globalThis.EventSource,
    fetch: options.fetch ?? globalThis.fetch?.bind(globalThis),
    credentials: options.credentials ?? 'same-origin',
    heartbeat: options.heartbeat, window: options.window,
    attempts: options.attempts ?? 5, retryHandlerMs: options.retryHandlerMs ?? 1_000,
    retry: options.retry, upgradeMs: options.upgradeMs, pollWait: options.pollWait ?? 25,
    ackMs: options.ackMs ?? 20_000,
    queue: { ...standardQueue, ...options.queue },
  }
}

/** A connection to a Martlet server, shared by all tabs of a browser. */
export class Martlet {
  #tab
  constructor(options = {}) {
    this.#tab = new Tab(configured(options))
    // After what the page sets up at once, so that nothing arrives before its handlers.
    if (options.connect !== false) setTimeout(() => this.#tab.begin())
  }
  /** What is so now: `state`, `transport`, `role`, `error`, … */
  get status() { return this.#tab.status }
  on(type, handler) { return this.#tab.on(type, handler) }
  topic(name) {
    if (typeof name !== 'string' || !name) throw new TypeError("Name the topic: topic('room/1').")
    return new Topic(this.#tab, name)
  }
  onStatus(listener) { return this.#tab.statuses.add(listener) }
  onGap(listener) { return this.#tab.gaps.add(listener) }
  onError(listener) { return this.#tab.problems.add(listener) }
  connect() { this.#tab.connect() }
  close() { this.#tab.close() }
}

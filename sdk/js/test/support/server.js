/** The real program as a process of the tests' own, on a free port; stopped by its process. */
import { spawn } from 'node:child_process'
import { createHmac, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, connect as dial } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../../..')
const binary = process.env.MARTLET || join(root, '.build/release/martlet')
export const SECRET = '0123456789abcdef0123456789abcdef'

/** Without the variables of the tests themselves, which are no options of the server. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MARTLET_')))

// A run that is ended leaves no server behind.
const children = new Set()
process.once('SIGTERM', () => process.exit(1))
process.once('exit', () => { for (const child of children) child.kill('SIGKILL') })

export class Server {
  port = 0
  #process = null

  constructor({ isDev = true, options = [] } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), 'martlet-js-'))
    this.isDev = isDev
    this.options = options
    writeFileSync(join(this.folder, 'secret'), `${SECRET}\n`, { mode: 0o600 })
  }

  static async start(test, settings) {
    const server = new Server(settings)
    test.after(() => server.stop())
    await server.start()
    return server
  }

  get url() { return `http://127.0.0.1:${this.port}` }

  async start() {
    const mode = this.isDev ? ['--dev'] : ['--tokens-secret-file', join(this.folder, 'secret'), '--tokens-leeway-seconds', '0']
    const data = ['--data', join(this.folder, 'data'), '--limits-subscribe-rate', '0', '--drain-seconds', '2']
    this.#process = spawn(binary, ['serve', ...mode, '--listen', `127.0.0.1:${this.port}`, ...data, ...this.options], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
    const child = this.#process
    children.add(child)
    child.once('exit', () => children.delete(child))
    let log = ''
    this.#process.stderr.on('data', (text) => { log = (log + text).slice(-4_000) })
    const ended = new Promise((_, reject) => {
      this.#process.once('error', reject)
      this.#process.once('exit', (code) => reject(new Error(`the server ended with ${code}\n${log}`)))
    })
    ended.catch(() => {})
    const listening = (async () => {
      for await (const line of createInterface({ input: this.#process.stdout })) {
        const found = /^listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)
        if (found) return Number(found[1])
      }
      return new Promise(() => {})
    })()
    this.port = await Promise.race([listening, ended])
    this.#process.stdout.resume()
    if (!this.isDev) this.key ??= await this.run('key', 'create', '--data', join(this.folder, 'data'))
    return this
  }

  run(...args) {
    return new Promise((resolve, reject) => {
      const child = spawn(binary, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
      let out = ''
      child.stdout.on('data', (text) => { out += text })
      child.once('error', reject)
      child.once('close', (code) => (code === 0 ? resolve(out.trim()) : reject(new Error(`martlet ${args.join(' ')}: ${code}`))))
    })
  }

  async #end(signal) {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => { child.once('exit', resolve) })
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await gone
    clearTimeout(late)
  }

  kill9() { return this.#end('SIGKILL') }
  terminate() { return this.#end('SIGTERM') }
  async stop() {
    await this.kill9()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async ask(method, path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method, body: body === undefined ? undefined : JSON.stringify(body),
      headers: { ...(this.key ? { Authorization: `Bearer ${this.key}` } : {}), 'Content-Type': 'application/json', ...headers },
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text && answer.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text
  }

  async publish(user, data, more = {}) { return (await this.ask('POST', '/v1/messages', { to: { user }, type: 'test', data, ...more })).id }
  say(topic, data) { return this.ask('POST', `/v1/topics/${topic}`, data) }
  async state(message, device) {
    const { devices } = await this.ask('GET', `/v1/messages/${message}`)
    return devices.find((one) => one.device === device)?.state
  }
  /** A number of /metrics, added up over its labels. */
  async metric(name) {
    const text = await this.ask('GET', '/metrics')
    return text.split('\n').filter((line) => line.startsWith(name) && /[ {]/.test(line[name.length])).reduce((sum, line) => sum + Number(line.split(' ').pop()), 0)
  }
}

export const token = (user, claims = {}) => {
  const now = Math.floor(Date.now() / 1000)
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, iat: now, exp: now + 600, jti: randomUUID(), ...claims })}`
  return `${body}.${createHmac('sha256', SECRET).update(body).digest('base64url')}`
}

/** A TCP proxy that can stop passing bytes on (`isStalled`), refuse, swallow or break off upgrades, and end all connections. */
export class Proxy {
  #pairs = new Set()
  isStalled = false
  /** What the server answers is lost. */
  isDeaf = false
  upgrades = 'pass'
  broken = 0

  static async start(test, target) {
    const proxy = new Proxy()
    proxy.target = target
    proxy.server = createServer((client) => proxy.#accept(client))
    await new Promise((resolve) => { proxy.server.listen(0, '127.0.0.1', resolve) })
    proxy.port = proxy.server.address().port
    test.after(() => proxy.stop())
    return proxy
  }
  get url() { return `http://127.0.0.1:${this.port}` }

  #accept(client) {
    const upstream = dial({ port: this.target.port, host: '127.0.0.1' })
    const pair = { client, upstream }
    this.#pairs.add(pair)
    let isFirst = true
    let isSwallowed = false
    client.on('data', (bytes) => {
      if (isFirst && /upgrade: websocket/i.test(bytes.toString('latin1'))) {
        if (this.upgrades === 'refuse') { client.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'); return }
        if (this.upgrades === 'break' || this.upgrades === 'break once') {
          this.broken += 1
          if (this.upgrades === 'break once') this.upgrades = 'pass'
          client.destroy()
          return
        }
        isSwallowed = this.upgrades === 'swallow'
      }
      isFirst = false
      if (!this.isStalled && !isSwallowed) upstream.write(bytes)
    })
    upstream.on('data', (bytes) => { if (!this.isStalled && !this.isDeaf && !client.destroyed) client.write(bytes) })
    const end = () => {
      client.destroy()
      upstream.destroy()
      this.#pairs.delete(pair)
    }
    for (const socket of [client, upstream]) {
      socket.on('error', end)
      socket.on('close', () => { if (!this.isStalled) end() })
    }
  }

  cut() { for (const { client, upstream } of [...this.#pairs]) { client.destroy(); upstream.destroy() } }
  stop() {
    this.isStalled = false
    this.cut()
    this.server.close()
  }
}

/** Asks again until it is true; for what no event announces. */
export const until = async (condition, what = 'condition', ms = 10_000) => {
  const end = Date.now() + ms
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`)
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
}

/**
 * A WebSocket (RFC 6455) over node:net and node:tls, for Node 20, which has none of its own; Node 22 and browsers do.
 *
 *     import { NodeWebSocket } from './websocket-node.js'
 *     new Martlet({ url, token, WebSocket: NodeWebSocket })
 *
 * Text frames only, which is what Martlet speaks; no extensions.
 */
import { createHash, randomBytes } from 'node:crypto'
import net from 'node:net'
import tls from 'node:tls'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const HEAD_MOST = 16_384
const MESSAGE_MOST = 16 * 1_048_576

export class NodeWebSocket {
  readyState = 0
  onopen = null
  onmessage = null
  onclose = null
  onerror = null
  #socket
  #buffer = Buffer.alloc(0)
  #parts = []
  #key = randomBytes(16).toString('base64')
  #closeCode = 1006
  #closeReason = ''

  constructor(address) {
    const url = new URL(address)
    const isSecure = url.protocol === 'wss:'
    const port = Number(url.port) || (isSecure ? 443 : 80)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    this.#socket = isSecure ? tls.connect({ host, port, servername: net.isIP(host) ? undefined : host }) : net.connect({ host, port })
    this.#socket.setNoDelay(true)
    this.#socket.on(isSecure ? 'secureConnect' : 'connect', () => {
      this.#socket.write(
        `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
        + `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${this.#key}\r\n\r\n`)
    })
    this.#socket.on('data', (bytes) => this.#received(bytes))
    this.#socket.on('error', () => this.onerror?.({ type: 'error' }))
    this.#socket.on('end', () => this.#socket.end())
    this.#socket.on('close', () => {
      this.readyState = 3
      this.onclose?.({ type: 'close', code: this.#closeCode, reason: this.#closeReason, wasClean: this.#closeCode !== 1006 })
    })
  }

  send(text) {
    if (this.readyState !== 1) throw new Error('The WebSocket is not open.')
    this.#write(1, Buffer.from(text))
  }

  close(code = 1000, reason = '') {
    if (this.readyState >= 2) return
    if (this.readyState === 0) {
      this.readyState = 2
      this.#socket.destroy()
      return
    }
    this.readyState = 2
    this.#write(8, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]))
    this.#socket.end()
    // Who does not answer is left alone.
    setTimeout(() => this.#socket.destroy(), 2_000).unref()
  }

  #received(bytes) {
    this.#buffer = this.#buffer.length ? Buffer.concat([this.#buffer, bytes]) : bytes
    if (this.readyState === 0 && !this.#head()) return
    while (this.#frame());
  }

  /** Whether the answer to the handshake is there, and good. */
  #head() {
    const end = this.#buffer.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#buffer.length > HEAD_MOST) this.#socket.destroy()
      return false
    }
    const [status, ...lines] = this.#buffer.subarray(0, end).toString('latin1').split('\r\n')
    const accept = lines.find((line) => /^sec-websocket-accept:/i.test(line))?.split(':')[1].trim()
    if (!/^HTTP\/1\.1 101 /.test(status) || accept !== createHash('sha1').update(this.#key + GUID).digest('base64')) {
      this.#socket.destroy()
      return false
    }
    this.#buffer = this.#buffer.subarray(end + 4)
    this.readyState = 1
    this.onopen?.({ type: 'open' })
    return true
  }

  /** Whether a whole frame was there. */
  #frame() {
    const buffer = this.#buffer
    if (buffer.length < 2) return false
    let length = buffer[1] & 127
    let at = 2
    if (length === 126) {
      if (buffer.length < 4) return false
      length = buffer.readUInt16BE(2)
      at = 4
    } else if (length === 127) {
      if (buffer.length < 10) return false
      const long = buffer.readBigUInt64BE(2)
      if (long > BigInt(MESSAGE_MOST)) { this.#fail(1009); return false }
      length = Number(long)
      at = 10
    }
    // A server does not mask (§5.1), and no extension was agreed on.
    if (buffer[1] & 128 || buffer[0] & 0x70) { this.#fail(1002); return false }
    if (buffer.length < at + length) return false
    const payload = buffer.subarray(at, at + length)
    this.#buffer = buffer.subarray(at + length)
    this.#take(buffer[0] & 15, Boolean(buffer[0] & 128), payload)
    return this.readyState < 3
  }

  #take(opcode, isLast, payload) {
    if (opcode === 9) this.#write(10, payload)
    else if (opcode === 8) {
      this.#closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005
      this.#closeReason = payload.subarray(2).toString()
      if (this.readyState === 1) this.#write(8, payload.subarray(0, 2))
      this.readyState = 2
      this.#socket.end()
    } else if (opcode === 0 || opcode === 1) {
      this.#parts.push(payload)
      if (this.#parts.reduce((sum, part) => sum + part.length, 0) > MESSAGE_MOST) { this.#fail(1009); return }
      if (!isLast) return
      const text = Buffer.concat(this.#parts).toString()
      this.#parts = []
      if (this.readyState === 1) this.onmessage?.({ type: 'message', data: text })
    }
  }

  #fail(code) {
    this.#closeCode = code
    this.#socket.destroy()
  }

  #write(opcode, payload) {
    if (!this.#socket.writable) return
    const mask = randomBytes(4)
    const head = payload.length < 126 ? Buffer.from([128 | opcode, 128 | payload.length])
      : payload.length < 65_536 ? Buffer.from([128 | opcode, 254, payload.length >> 8, payload.length & 255])
        : Buffer.concat([Buffer.from([128 | opcode, 255, 0, 0, 0, 0]), (() => { const size = Buffer.alloc(4); size.writeUInt32BE(payload.length); return size })()])
    const masked = Buffer.from(payload)
    for (let index = 0; index < masked.length; index += 1) masked[index] ^= mask[index & 3]
    this.#socket.write(Buffer.concat([head, mask, masked]))
  }
}

// What the inbox of an app carries, by message type: `new Martlet<{ 'trip.updated': Trip }>()`.
export type Inbox = { [type: string]: unknown }

export type TransportName = 'websocket' | 'sse' | 'eventsource' | 'longpoll' | 'jsonp'
export type Priority = 'high' | 'medium' | 'low'

/** A message of the user's or device's inbox. */
export interface Message<Data = unknown, Type extends string = string> {
  /** A UUID; the same if it comes again. */
  readonly id: string
  /** When it was stored: milliseconds since 1970. */
  readonly at: number
  readonly type?: Type
  /** Bytes if it was published as such, then with `contentType`. */
  readonly data: Data
  readonly contentType?: string
  readonly notification?: { [member: string]: unknown }
  readonly priority: Priority
  /** It may have been handled before. */
  readonly redelivered?: true
}

/** A message of a topic. */
export interface TopicMessage<Data = unknown> {
  readonly id: string
  readonly at: number
  readonly type?: string
  readonly topic: string
  readonly data: Data
  readonly contentType?: string
  /** It is the topic's value, from before the subscription. */
  readonly retained?: true
}

/** What comes next does not follow on what came before. */
export interface Gap {
  readonly reason: 'inbox_full' | 'owner' | 'epoch' | 'beyond_end' | 'trimmed' | 'slow' | (string & {})
  readonly scope?: 'user' | 'device' | 'app'
  readonly priority?: Priority
  readonly topic?: string
  readonly from?: number
  readonly to?: number
}

export interface Member {
  readonly user?: string
  readonly device?: string
}

export interface PresenceEvent {
  readonly topic: string
  readonly count: number
  readonly joined?: readonly Member[]
  readonly left?: readonly Member[]
  readonly joinedCount?: number
  readonly leftCount?: number
}

export interface Presence {
  readonly count: number
  readonly members: readonly Member[]
  /** `after` for the next page. */
  readonly next?: string
}

export interface History<Data = unknown> {
  readonly messages: readonly TopicMessage<Data>[]
  /** `cursor` for the next page. */
  readonly next?: string
  readonly gap?: Gap
}

export interface TopicInfo {
  readonly topic: string
  readonly subscribers: number
  readonly history?: { readonly messages: number, readonly bytes: number, readonly first?: number, readonly last?: number }
  readonly retained: boolean
  readonly options: { readonly [name: string]: unknown }
}

/** `latest`, `earliest`, `last:20`, a time. */
export type Since = 'latest' | 'earliest' | `last:${number}` | Date | number | (string & {})

export interface Status {
  /**
   * `idle`: not begun, or waiting for handlers. `connecting`. `connected`. `waiting`: tries again at `retryAt`.
   * `stopped`: does not try again before `connect()`; `error` says why. `closed`: by `close()`.
   */
  readonly state: 'idle' | 'connecting' | 'connected' | 'waiting' | 'stopped' | 'closed'
  /** Whether this tab holds the connection for all (`leader`), uses another's (`follower`), or shares nothing (`alone`). */
  readonly role: 'leader' | 'follower' | 'alone'
  readonly transport?: TransportName
  readonly session?: string
  readonly user?: string
  readonly device?: string
  readonly heartbeatMs?: number
  /** Milliseconds since 1970. */
  readonly retryAt?: number
  readonly error?: MartletError
}

export class MartletError extends Error {
  constructor(code: string, message: string, more?: object)
  /** One of the server's (docs/protocol.md, "Error codes"), or `unreachable`, `taken_over`, `disconnected`, `closed`, `token_failed`,
   * `handler_failed`, `queue_full`, `timeout`, `too_slow`. */
  readonly code: string
  readonly status?: number
  readonly limit?: number
  readonly retryAfterMs?: number
  readonly closeCode?: number
  /** Of `handler_failed`: the message, and whether the handler is called again. */
  readonly handled?: Message | TopicMessage
  readonly willRetry?: boolean
}

/** Where the cursor and what was learnt of the network are kept. May be asynchronous. */
export interface Store {
  get(name: string): string | null | Promise<string | null>
  set(name: string, value: string): void | Promise<unknown>
  remove(name: string): void | Promise<unknown>
}
export class MemoryStore implements Store {
  get(name: string): string | null
  set(name: string, value: string): void
  remove(name: string): void
}
export class LocalStore implements Store {
  constructor(storage?: Storage)
  get(name: string): string | null
  set(name: string, value: string): void
  remove(name: string): void
}
export class IndexedStore implements Store {
  constructor(factory?: IDBFactory)
  get(name: string): Promise<string | null>
  set(name: string, value: string): Promise<unknown>
  remove(name: string): Promise<unknown>
}

export interface Options {
  /** The server. Left out: where this module came from. */
  url?: string
  /** A token, or what gets one: called at the start, before the token ends (`renewal`), when it has (`expired`), and once when it was refused. */
  token?: string | ((asked: { reason: 'first' | 'renewal' | 'expired' | 'rejected' }) => string | Promise<string>)
  /** Who it is in dev mode. With a token: whose it is, if that cannot be read from it. */
  user?: string
  /** Left out: an id of its own for each browser and user, kept in the store. `null`: none; then nothing is recorded. */
  device?: string | null
  /** Those that may be used, best first. */
  transports?: TransportName[]
  /** One connection for all tabs. Default in browsers: true. */
  share?: boolean
  store?: Store
  /** Whether cookies go along to another origin: as with `fetch`. */
  credentials?: 'same-origin' | 'include' | 'omit'
  /** Seconds between which the interval is looked for. Default: 10, 120, beginning with 25. */
  heartbeat?: { least?: number, most?: number, start?: number }
  /** Pauses between tries: anything up to `baseMs`, doubling up to `mostMs`. Default: 1000, 30000. */
  retry?: { baseMs?: number, mostMs?: number }
  /** How often a handler that fails is called for one message. Default: 5. */
  attempts?: number
  /** Publishes that may wait. Default: 1000, 1 MiB. */
  queue?: { messages?: number, bytes?: number }
  /** Messages on their way at once. */
  window?: number
  /** A new device skips what is stored already. */
  from?: 'now'
  /** `false`: not before `connect()`. */
  connect?: boolean
  WebSocket?: unknown
  EventSource?: unknown
  fetch?: typeof fetch
}

export interface PublishOptions {
  type?: string
  /** Seconds. */
  ttl?: number
  /** Keeps it as the topic's value. */
  retain?: boolean
  /** Of bytes. */
  contentType?: string
  /** Left out: one is made up, so that what is sent again after a loss is stored once. */
  idempotencyKey?: string
  /** Rejects with `timeout` after this. Left out: it waits for the server however long. */
  timeoutMs?: number
}

/** Stops what it was returned for. */
export interface Stop { (): void }
/** Stops a subscription; `ready` settles when it stands, its history included. */
export interface Subscription extends Stop { readonly ready: Promise<void> }

export class Topic<Data = unknown> {
  readonly name: string
  /** @param handler a message counts as handled when the promise that it returns has settled. */
  subscribe(handler: (data: Data, message: TopicMessage<Data>) => unknown, options?: { since?: Since }): Subscription
  publish(data: Data, options?: PublishOptions): Promise<{ id: string }>
  /** Who is there now. */
  presence(options?: { limit?: number, after?: string }): Promise<Presence>
  /** Who comes and goes; subscribes as well. */
  onPresence(listener: (event: PresenceEvent) => void): Stop
  history(options?: { since?: Since, limit?: number, cursor?: string }): Promise<History<Data>>
  retained(): Promise<TopicMessage<Data> | null>
  info(): Promise<TopicInfo>
}

export class Martlet<Types extends object = Inbox> {
  constructor(options?: Options)
  readonly status: Status
  /** Messages of a type, or of all with `*`. Acked when the promise that the handler returns has settled. */
  on<Type extends keyof Types & string>(type: Type, handler: (data: Types[Type], message: Message<Types[Type], Type>) => unknown): Stop
  on(type: '*', handler: (data: unknown, message: Message) => unknown): Stop
  topic<Data = unknown>(name: string): Topic<Data>
  onStatus(listener: (status: Status) => void): Stop
  onGap(listener: (gap: Gap) => void): Stop
  /** Without a listener errors go to the console. */
  onError(listener: (error: MartletError) => void): Stop
  /** Begins, or begins again after `stopped`. */
  connect(): void
  close(): void
}

// Compiles, or does not where it says so: `tsc -p sdk/js/test/types`.
import { Martlet, MartletError, MemoryStore, type Status, type TopicMessage } from '../../martlet.js'

interface Inbox { 'trip.updated': { trip: number }, 'note': string }

const martlet = new Martlet<Inbox>({ url: 'http://localhost:8080', token: async ({ reason }) => reason, store: new MemoryStore() })
const off: () => void = martlet.on('trip.updated', (trip, message) => {
  const number: number = trip.trip
  const type: 'trip.updated' | undefined = message.type
  return Promise.resolve([number, type, message.redelivered])
})
martlet.on('*', (data) => { const unknown: unknown = data; return unknown })
// @ts-expect-error not a type of this inbox
martlet.on('trip.udpated', () => {})
// @ts-expect-error a note is text
martlet.on('note', (note: number) => note)

const room = martlet.topic<{ text: string }>('room/1')
const subscription = room.subscribe((data, message: TopicMessage<{ text: string }>) => data.text + message.topic, { since: 'last:20' })
subscription.ready.then(() => subscription())
// @ts-expect-error text is missing
room.publish({})
room.publish({ text: 'hi' }, { retain: true, ttl: 60 }).then(({ id }) => id.length)
room.history({ since: new Date(), limit: 10 }).then(({ messages }) => messages[0].data.text)
room.presence().then(({ count, members }) => [count, members[0].user])
room.onPresence(({ joined }) => joined?.length)
const status: Status = martlet.status
if (status.state === 'connected') status.transport?.length
// @ts-expect-error there is no such state
if (status.state === 'open') off()
martlet.onError((error: MartletError) => { if (error.code === 'handler_failed') error.handled?.id })

const any = new Martlet()
any.on('whatever', (data) => data)
// @ts-expect-error there is no such transport
new Martlet({ transports: ['smoke'] })

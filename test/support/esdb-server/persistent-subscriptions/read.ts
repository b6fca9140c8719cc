import type { ServerDuplexStream } from '@grpc/grpc-js'
import type { Database } from '../database.ts'
import { ERRORS } from '../errors.ts'
import { streamName } from '../names.ts'
import { OpenCall } from '../open-calls.ts'
import { persistent } from '../protocol.ts'
import { parseUuid } from '../uuids.ts'
import type { Group, NackAction } from './group.ts'
import { confirmation } from './responses.ts'
import { Subscriber } from './subscriber.ts'

export type PersistentReadCall = ServerDuplexStream<persistent.ReadReq, persistent.ReadResp>

const ACTIONS: readonly NackAction[] = ['unknown', 'park', 'retry', 'skip', 'stop']

/** PersistentSubscriptions.Read.cs: the first message says which group; acks and nacks follow. */
export function read(database: Database, call: PersistentReadCall): void {
  let handle = (request: persistent.ReadReq): void => {
    handle = connect(database, call, request.getOptions() ?? new persistent.ReadReq.Options())
  }
  call.on('data', (request: persistent.ReadReq) => handle(request))
}

/** Returns what is to be done with the messages that follow. */
function connect(
  database: Database,
  call: PersistentReadCall,
  options: persistent.ReadReq.Options,
): (request: persistent.ReadReq) => void {
  const stream = options.hasAll() ? '$all' : streamName(options.getStreamIdentifier())
  const context = { stream, group: options.getGroupName() }
  const open = new OpenCall<persistent.ReadResp>(call, database.misbehaviour, {
    kind: 'persistent-subscription',
    ...context,
  })
  database.calls.add(open)
  call.on('end', () => open.end())
  const group = database.groups.find(stream, context.group)
  const refusal = database.misbehaviour.refusalOf(open) ?? problemOf(group, context)
  if (refusal || group === undefined) {
    if (refusal) open.fail(refusal)
    return () => {}
  }
  const name = String(call.metadata.get('connection-name')[0] ?? '<unknown>')
  const subscriber = new Subscriber(open, options.getBufferSize(), name)
  open.ended.addEventListener('abort', () => group.remove(subscriber), { once: true })
  void open.send(confirmation(group.key))
  group.add(subscriber)
  return (request) => settle(group, request)
}

function problemOf(group: Group | undefined, context: { readonly stream: string; readonly group: string }) {
  if (group === undefined) return ERRORS['persistent-subscription-does-not-exist'](context)
  const maximum = group.settings.maxSubscriberCount
  return maximum > 0 && group.subscribers.length >= maximum
    ? ERRORS['maximum-subscribers-reached'](context)
    : undefined
}

function settle(group: Group, request: persistent.ReadReq): void {
  const ack = request.getAck()
  if (ack) group.acknowledge(ack.getIdsList().map(parseUuid))
  const nack = request.getNack()
  if (nack)
    group.refuse(nack.getIdsList().map(parseUuid), ACTIONS[nack.getAction()] ?? 'unknown', nack.getReason())
}

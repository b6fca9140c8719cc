import type { handleUnaryCall, ServiceError } from '@grpc/grpc-js'
import type { Database } from '../database.ts'
import { ERRORS, type ErrorContext, persistentSubscriptionFailed } from '../errors.ts'
import { streamName } from '../names.ts'
import { persistent, shared } from '../protocol.ts'
import { answerUnary } from '../unary-calls.ts'
import type { Group } from './group.ts'
import { subscriptionInfo } from './info.ts'
import { filterOfCreate, isServed, type Settings, settingsOf } from './settings.ts'

interface Named {
  getStreamIdentifier(): shared.StreamIdentifier | undefined
  hasAll(): boolean
  getGroupName(): string
}

/** PersistentSubscriptions.Create.cs */
export function create(database: Database): handleUnaryCall<persistent.CreateReq, persistent.CreateResp> {
  return unary(database, (request) => {
    const options = request.getOptions() ?? new persistent.CreateReq.Options()
    const settings = settingsOf(options, filterOfCreate(options))
    if (database.groups.find(settings.source, settings.group)) {
      return ERRORS['persistent-subscription-exists'](contextOf(settings))
    }
    const problem = problemOf(settings)
    if (problem) return problem
    database.groups.create(settings)
    return new persistent.CreateResp()
  })
}

/** PersistentSubscriptions.Update.cs */
export function update(database: Database): handleUnaryCall<persistent.UpdateReq, persistent.UpdateResp> {
  return unary(database, (request) => {
    const settings = settingsOf(request.getOptions() ?? new persistent.UpdateReq.Options(), undefined)
    const group = database.groups.find(settings.source, settings.group)
    if (group === undefined) return ERRORS['persistent-subscription-does-not-exist'](contextOf(settings))
    const problem = problemOf(settings)
    if (problem) return problem
    database.groups.update(group, settings)
    return new persistent.UpdateResp()
  })
}

/** PersistentSubscriptions.Delete.cs */
export function remove(database: Database): handleUnaryCall<persistent.DeleteReq, persistent.DeleteResp> {
  return unary(database, (request) =>
    withGroup(database, request.getOptions() ?? new persistent.DeleteReq.Options(), (group) => {
      database.groups.delete(group)
      return new persistent.DeleteResp()
    }),
  )
}

/** PersistentSubscriptions.ReplayParked.cs */
export function replayParked(
  database: Database,
): handleUnaryCall<persistent.ReplayParkedReq, persistent.ReplayParkedResp> {
  return unary(database, (request) => {
    const options = request.getOptions() ?? new persistent.ReplayParkedReq.Options()
    return withGroup(database, options, (group) => {
      group.replayParked(options.hasStopAt() ? BigInt(options.getStopAt()) : undefined)
      return new persistent.ReplayParkedResp()
    })
  })
}

/** PersistentSubscriptions.Info.cs */
export function getInfo(database: Database): handleUnaryCall<persistent.GetInfoReq, persistent.GetInfoResp> {
  return unary(database, (request) =>
    withGroup(database, request.getOptions() ?? new persistent.GetInfoReq.Options(), (group) =>
      new persistent.GetInfoResp().setSubscriptionInfo(subscriptionInfo(database.log, group)),
    ),
  )
}

/** PersistentSubscriptions.Info.cs, List: a stream without groups is an error. */
export function list(database: Database): handleUnaryCall<persistent.ListReq, persistent.ListResp> {
  return unary(database, (request) => {
    const only = request.getOptions()?.getListForStream()
    const source = only && (only.hasAll() ? '$all' : streamName(only.getStream()))
    const groups = database.groups.all.filter(
      ({ settings }) => source === undefined || settings.source === source,
    )
    if (source !== undefined && groups.length === 0) {
      return ERRORS['persistent-subscription-does-not-exist']({ stream: source })
    }
    const infos = groups.map((group) => subscriptionInfo(database.log, group))
    return new persistent.ListResp().setSubscriptionsList(infos)
  })
}

/** PersistentSubscriptions.RestartSubsystem.cs: every subscriber is dropped, every group goes on at its checkpoint. */
export function restartSubsystem(database: Database): handleUnaryCall<shared.Empty, shared.Empty> {
  return unary(database, () => {
    for (const group of database.groups.all) group.dropAll()
    database.reload(database.log)
    return new shared.Empty()
  })
}

function unary<Request, Response extends object>(
  database: Database,
  act: (request: Request) => Response | ServiceError,
): handleUnaryCall<Request, Response> {
  return (call, answer) =>
    void answerUnary(database, { kind: 'other', stream: '', group: '' }, () => act(call.request), answer)
}

function withGroup<Response>(
  database: Database,
  options: Named,
  act: (group: Group) => Response,
): Response | ServiceError {
  const source = options.hasAll() ? '$all' : streamName(options.getStreamIdentifier())
  const group = database.groups.find(source, options.getGroupName())
  return group
    ? act(group)
    : ERRORS['persistent-subscription-does-not-exist']({ stream: source, group: options.getGroupName() })
}

const contextOf = ({ source, group }: Settings): ErrorContext => ({ stream: source, group })

/** PersistentSubscriptionService.CreatePersistentSubscription and the constructor of PersistentSubscription.cs */
function problemOf(settings: Settings): ServiceError | undefined {
  const context = contextOf(settings)
  if (!isServed(settings.strategy)) {
    return persistentSubscriptionFailed(context, `Consumer strategy ${settings.strategy} does not exist.`)
  }
  if (settings.readBatchSize >= settings.historyBufferSize) {
    return persistentSubscriptionFailed(
      context,
      "Specified argument was out of the range of valid values. (Parameter 'ReadBatchSize may not be greater than or equal to BufferSize')",
    )
  }
  return undefined
}

import { randomUUID } from 'node:crypto'
import type { handleUnaryCall, Server } from '@grpc/grpc-js'
import { append } from './appends.ts'
import { batchAppend } from './batch-appends.ts'
import type { Database } from './database.ts'
import { softDelete, tombstone } from './deletes.ts'
import * as administration from './persistent-subscriptions/administration.ts'
import { read as readPersistent } from './persistent-subscriptions/read.ts'
import {
  type features,
  GossipService,
  gossip,
  PersistentSubscriptionsService,
  ServerFeaturesService,
  StreamsService,
  type shared,
} from './protocol.ts'
import { type ReadCall, read } from './reads.ts'
import { supportedMethods } from './server-features.ts'
import type { ClusterNode } from './steering.ts'
import { uuidOf } from './uuids.ts'

// Its answers are bytes already.
const READ = { ...StreamsService.read, responseSerialize: (bytes: Buffer) => bytes }

/** Registers what is served. What is not in here is answered with UNIMPLEMENTED by gRPC, and not advertised. */
export function addServices(server: Server, database: Database, cluster: () => readonly ClusterNode[]): void {
  server.addService(
    { ...StreamsService, read: READ },
    {
      read: (call: ReadCall) => {
        read(database, call).catch((error: Error) => call.emit('error', error))
      },
      append: append.bind(undefined, database),
      batchAppend: batchAppend.bind(undefined, database),
      delete: softDelete(database),
      tombstone: tombstone(database),
    },
  )
  server.addService(PersistentSubscriptionsService, {
    create: administration.create(database),
    update: administration.update(database),
    delete: administration.remove(database),
    read: readPersistent.bind(undefined, database),
    getInfo: administration.getInfo(database),
    replayParked: administration.replayParked(database),
    list: administration.list(database),
    restartSubsystem: administration.restartSubsystem(database),
  })
  const supported = supportedMethods(
    [StreamsService, PersistentSubscriptionsService, GossipService, ServerFeaturesService],
    database.generation.version,
  )
  const getSupportedMethods: handleUnaryCall<shared.Empty, features.SupportedMethods> = (_call, answer) =>
    answer(null, supported)
  server.addService(ServerFeaturesService, { getSupportedMethods })
  const readGossip: handleUnaryCall<shared.Empty, gossip.ClusterInfo> = (_call, answer) =>
    answer(null, clusterInfo(cluster()))
  server.addService(GossipService, { read: readGossip })
}

const { VNodeState } = gossip.MemberInfo
const STATES: Readonly<Record<ClusterNode['state'], gossip.MemberInfo.VNodeState>> = {
  leader: VNodeState.LEADER,
  follower: VNodeState.FOLLOWER,
  dead: VNodeState.MANAGER,
}

/** gossip.proto */
function clusterInfo(nodes: readonly ClusterNode[]): gossip.ClusterInfo {
  const members = nodes.map(({ port, state }) =>
    new gossip.MemberInfo()
      .setInstanceId(uuidOf(randomUUID()))
      .setTimeStamp(String(Date.now()))
      .setState(STATES[state])
      .setIsAlive(state !== 'dead')
      .setHttpEndPoint(new gossip.EndPoint().setAddress('127.0.0.1').setPort(port)),
  )
  return new gossip.ClusterInfo().setMembersList(members)
}

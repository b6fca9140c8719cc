import type { ServiceError } from '@grpc/grpc-js'
import { missingMetadata } from './errors.ts'
import type { NewEvent } from './log.ts'
import type { streams } from './protocol.ts'
import { parseUuid } from './uuids.ts'

/** Opts.MaxAppendSizeDefault */
export const MAXIMUM_APPEND_SIZE: number = 1024 * 1024

/** MetadataHelpers.ParseGrpcMetadata: type and content type are in the metadata that the protocol has for itself. */
export function proposedEvent(
  message: streams.AppendReq.ProposedMessage | streams.BatchAppendReq.ProposedMessage,
): NewEvent | ServiceError {
  const metadata = message.getMetadataMap()
  const type = metadata.get('type')
  const contentType = metadata.get('content-type')
  if (type === undefined) return missingMetadata('type')
  if (contentType === undefined) return missingMetadata('content-type')
  return {
    id: parseUuid(message.getId()),
    type,
    isJson: contentType === 'application/json',
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  }
}

export function sizeOf({ data, metadata }: NewEvent): number {
  return data.length + metadata.length
}

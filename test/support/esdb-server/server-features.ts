import type { ServiceDefinition } from '@grpc/grpc-js'
import { features } from './protocol.ts'

/**
 * ServerFeatures.cs, for the methods that are served and no others: a client calls what is advertised, and waits for the
 * answer for ever.
 */
export function supportedMethods(
  services: readonly ServiceDefinition[],
  version: string,
): features.SupportedMethods {
  const methods = services
    .flatMap((service) => Object.values(service))
    .map(({ path }) => {
      const [, serviceName = '', methodName = ''] = path.toLowerCase().split('/')
      const method = new features.SupportedMethod().setServiceName(serviceName).setMethodName(methodName)
      if (serviceName.includes('persistent')) method.setFeaturesList(['stream', 'all'])
      else if (methodName === 'batchappend') method.setFeaturesList(['deadline_duration'])
      else if (serviceName.includes('streams') && methodName === 'read')
        method.setFeaturesList(['position', 'events'])
      return method
    })
  return new features.SupportedMethods().setMethodsList(methods).setEventStoreServerVersion(version)
}

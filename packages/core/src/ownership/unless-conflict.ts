import { hasCode } from '../kernel/errors.ts'

/** The answer of the store; tells first where it says that another owner has the checkpoint. `undefined`: it has no such call. */
export async function unlessConflict<T>(call: Promise<T> | undefined, onConflict: () => void): Promise<T> {
  if (call === undefined) throw new TypeError('this store keeps no tenures')
  try {
    return await call
  } catch (error) {
    if (hasCode(error, 'TIDEMARK_CHECKPOINT_CONFLICT')) onConflict()
    throw error
  }
}

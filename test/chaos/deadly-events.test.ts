import { test } from 'vitest'
import { expectSkippedAlone } from './deadly.ts'

test('an event that kills its process is tried as often as it may be, alone, and is then skipped', async () => {
  await expectSkippedAlone({ how: 'kill', attempts: '2' })
})

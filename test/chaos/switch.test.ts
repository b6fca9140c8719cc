import { test } from 'vitest'
import { seeded } from './seed.ts'
import { killInSwitch } from './switches.ts'

test('a process killed twice while it switches versions leaves all as before, or as after', async () => {
  await killInSwitch(seeded('killed in a switch'), 2)
})

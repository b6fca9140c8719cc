/** Work that takes so many turns whoever else uses the machine, and makes no garbage. */
export function spin(turns: number): number {
  let state = 1
  for (let turn = 0; turn < turns; turn++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
  return state
}

const MEASURED_TURNS = 50_000_000

/** How many turns take so much CPU time, on this machine. */
export function turnsTaking(microseconds: number): number {
  spin(MEASURED_TURNS)
  const before = process.cpuUsage()
  spin(MEASURED_TURNS)
  const { user, system } = process.cpuUsage(before)
  return Math.round((MEASURED_TURNS / (user + system)) * microseconds)
}

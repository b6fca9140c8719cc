import { startPostgres } from '@tidemark-internal/embedded-postgres'

// Starts a server, says where, and holds it until it is killed.
const server = await startPostgres()
console.log(JSON.stringify({ pid: server.postmasterPid, dataDir: server.dataDir }))
setInterval(() => {}, 60_000)

// Starts a cluster as Node.js services do (their variable, else what Node.js says), writes its size to the file named by the argument, and stays.
const cluster = require('node:cluster');
const fs = require('node:fs');
const os = require('node:os');

if (cluster.isPrimary) {
	const n = Number(process.env.WEB_CONCURRENCY) || os.availableParallelism();
	let online = 0;
	cluster.on('online', () => {
		online++;
		if (online === n)
			fs.writeFileSync(process.argv[2], `${n}\n`);
	});
	for (let i = 0; i < n; i++)
		cluster.fork();
}
setInterval(() => {}, 1000000);

import { WorkerMachine } from 'nvtpm';
import { createQcow2 } from 'nvtpm/block';

createQcow2('worker.qcow2', { size: 1024 * 1024 });
const setup = new URL('worker-setup.mjs', import.meta.url);
const machine = new WorkerMachine({ setup, data: { path: 'worker.qcow2' } });

await machine.powerOn();
const startup = Buffer.from('00c10000000c000000990001', 'hex'); // TPM_Startup(ST_CLEAR)
console.log(Buffer.from(await machine.execute(startup)).toString('hex'));
console.log(await machine.info());
await machine.powerOff();

import { systemClock as clock, systemEntropy as entropy, Machine, Tpm12 } from 'nvtpm';
import { createQcow2, openImage } from 'nvtpm/block';

createQcow2('emulator.qcow2', { size: 1024 * 1024 });
const image = openImage('emulator.qcow2', { readOnly: false });
const engine = () => new Tpm12({ entropy, clock });
const irq = level => console.log(`interrupt line ${level}`);
const machine = new Machine({ image, entropy, engine, irq });

machine.powerOn();
machine.tis.write(0x0000, 1, 0x02); // the guest's write to 0xFED40000: request use of locality 0
console.log(machine.tis.read(0x0f00, 4).toString(16)); // its read of 0xFED40F00: DID_VID, 11014
machine.powerOff();
image.close();

import { systemClock as clock, systemEntropy as entropy, Machine, Tpm12 } from 'nvtpm';
import { createQcow2, openImage } from 'nvtpm/block';
import { commands, HANDLE, STARTUP, secretOf, Tpm12Client, WELL_KNOWN_SECRET } from 'nvtpm/guest';

createQcow2('owned.qcow2', { size: 1024 * 1024 });
const image = openImage('owned.qcow2', { readOnly: false });
const machine = new Machine({ image, entropy, engine: () => new Tpm12({ entropy, clock }) });
const guest = new Tpm12Client(command => machine.process(command), entropy);

machine.powerOn();
guest.run(commands.startup(STARTUP.CLEAR));
const { modulus } = guest.createEndorsementKeyPair();
guest.takeOwnership(secretOf('owner'), WELL_KNOWN_SECRET);
machine.cutPower();

machine.powerOn();
guest.run(commands.startup(STARTUP.CLEAR));
const same = guest.ownerReadInternalPub(HANDLE.EK, secretOf('owner')).modulus;
console.log(Buffer.compare(modulus, same) === 0 ? 'the same EK, the same owner' : 'lost');
machine.powerOff();
image.close();

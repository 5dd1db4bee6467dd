package peer;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Drops a repeated call, rates any other one, debits the tenant and asks for a recharge at the trigger. */
final class Rate implements Processor<byte[], byte[], byte[], byte[]> {
    private static final byte[] ONE = {1};
    private final Deck deck;
    private final Json.Call call = new Json.Call();
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> seen, accounts;

    Rate(Deck deck) {
        this.deck = deck;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        seen = context.getStateStore(Peer.SEEN);
        accounts = context.getStateStore(Peer.ACCOUNTS);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        call.read(record.value());
        Bytes identity = key(call.source + " " + call.id);
        if (seen.get(identity) != null) return;
        seen.put(identity, ONE);
        Bytes tenant = key(call.tenant);
        long costMicros = deck.cost(call.callee, call.connectedMs);
        Account account = Account.read(accounts.get(tenant)).debited(costMicros);
        context.forward(record.withValue(Json.entry(call, costMicros, account)), Peer.LEDGER);
        if (account.mustRecharge()) {
            account = account.recharging();
            context.forward(record.withValue(Json.request(call, account)), Peer.COMMANDS);
        }
        accounts.put(tenant, account.bytes());
    }

    static Bytes key(String text) {
        return Bytes.wrap(text.getBytes(StandardCharsets.UTF_8));
    }
}

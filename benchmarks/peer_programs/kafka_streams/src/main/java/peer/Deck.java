package peer;

import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** A rate deck as a trie of digits in one array: ten children and a price in micros per minute for every node. */
final class Deck {
    private static final int CHILDREN = 10;
    private static final int WIDTH = CHILDREN + 1;
    private static final int NO_PRICE = -1;
    private int[] nodes = new int[WIDTH * 1024];
    private int count = 1;

    Deck(Path csv) throws IOException {
        nodes[CHILDREN] = NO_PRICE;
        List<String> lines = Files.readAllLines(csv);
        int rate = List.of(lines.get(0).split(",")).indexOf("rate_per_min");
        for (String line : lines.subList(1, lines.size())) {
            String[] row = line.split(",");
            add(row[0], new BigDecimal(row[rate]).movePointRight(6).intValueExact());
        }
    }

    private void add(String prefix, int price) {
        int node = 0;
        for (char digit : prefix.toCharArray()) {
            int child = node * WIDTH + digit - '0';
            if (nodes[child] == 0) {
                if ((count + 1) * WIDTH > nodes.length) nodes = Arrays.copyOf(nodes, nodes.length * 2);
                nodes[count * WIDTH + CHILDREN] = NO_PRICE;
                nodes[child] = count++;
            }
            node = nodes[child];
        }
        nodes[node * WIDTH + CHILDREN] = price;
    }

    /** The cost in micros of a call to `+` and digits, by begun minutes; UK premium numbers are refused. */
    long cost(String callee, long connectedMs) {
        if (callee.startsWith("+449")) return 0;
        int price = NO_PRICE;
        for (int i = 1, node = 0; i < callee.length(); i++) {
            node = nodes[node * WIDTH + callee.charAt(i) - '0'];
            if (node == 0) break;
            int found = nodes[node * WIDTH + CHILDREN];
            if (found != NO_PRICE) price = found;
        }
        if (price == NO_PRICE) throw new IllegalArgumentException("no price for " + callee);
        return (connectedMs + 59_999) / 60_000 * price;
    }
}

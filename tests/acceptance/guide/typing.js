const conversationId = 123;
const typingSocket = new WebSocket(
    `ws://${window.location.host}/ws/typing/${conversationId}/`
);

// Envoyer événement de frappe
const inputField = document.getElementById('message-input');

inputField.addEventListener('input', function() {
    typingSocket.send(JSON.stringify({
        'is_typing': true
    }));
});

inputField.addEventListener('blur', function() {
    typingSocket.send(JSON.stringify({
        'is_typing': false
    }));
});

// Recevoir les événements de frappe
typingSocket.onmessage = function(e) {
    const data = JSON.parse(e.data);
    
    if (data.type === 'typing') {
        if (data.is_typing) {
            showTypingIndicator(data.username);
        } else {
            hideTypingIndicator(data.username);
        }
    }
};
